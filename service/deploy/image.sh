#!/usr/bin/env bash
# Build the container image of the service: its bento, the packages it requires, its networks' graphs compiled.
#   IMAGE    the name it gets (tsugiki:<version of the bento>, tsugiki:latest)
#   BUILDER  docker, podman or buildah; else the first that is there
#   BASE     a Debian image with Python 3.11; `debootstrap` makes one where no registry is reached (root only)
#   TORCH    where pip finds a torch without CUDA's 3 GB; empty where its own index has one
#   MORE     further requirements, such as "openvino>=2026.1"
# Needs Linux, and Python 3.11 as the environment of `make setup`: the wheels are gathered by it, so that the build
# itself needs no network.
set -euo pipefail
cd "$(dirname "$0")/../.."
python=${PYTHON:-$PWD/.venv/bin/python}
base=${BASE:-docker.io/library/python:3.11-slim-bookworm}
torch=${TORCH-https://download.pytorch.org/whl/cpu}
build=${BUILD:-$PWD/build/image}

first() { for name in "$@"; do command -v "$name" > /dev/null && "$name" info > /dev/null 2>&1 && echo "$name" && return; done; }
builder=${BUILDER:-$(first docker podman buildah)}
[ -n "$builder" ] || { echo "image.sh: docker, podman or buildah is needed" >&2; exit 1; }
"$python" -c 'import sys; sys.exit(sys.version_info[:2] != (3, 11))' || { echo "image.sh: $python is not Python 3.11, as the image's is" >&2; exit 1; }

mkdir -p "$build"
rm -rf "$build/context"
export BENTOML_HOME=$build/bentoml BENTOML_DO_NOT_TRACK=True
mkdir -p "$BENTOML_HOME"
tag=$("$python" -W ignore -m bentoml build --output tag . | sed -n 's/^__tag__:tsugiki://p')
image=${IMAGE:-tsugiki:$tag}
mkdir "$build/context"
cp -r "$BENTOML_HOME/bentos/tsugiki/$tag/src" "$build/context/src"
cp service/deploy/Containerfile "$build/context/"
{ cat service/requirements.txt; for more in ${MORE:-}; do echo "$more"; done; } > "$build/context/requirements.txt"

echo "gathering wheels"
"$python" -m pip wheel --quiet --disable-pip-version-check ${torch:+--extra-index-url "$torch"} \
  --find-links "$build/wheels" --wheel-dir "$build/wheels" --requirement "$build/context/requirements.txt"
cp -rl "$build/wheels" "$build/context/wheels"  # links: they are 600 MB

pull=()
if [ "$base" = debootstrap ]; then
  base=localhost/tsugiki-base:bookworm pull=(--pull=never)
  if [ -z "$("$builder" images --quiet "$base")" ]; then
    echo "making $base"
    rm -rf "$build/base"
    debootstrap --variant=minbase --include=ca-certificates,python3,python3-pip,python3-venv bookworm "$build/base" > "$build/base.log"
    rm -rf "$build"/base/var/cache/apt/* "$build"/base/var/lib/apt/lists/*
    if [ "$builder" = buildah ]; then
      made=$(buildah from scratch)
      buildah add --quiet "$made" "$build/base" /
      buildah commit --quiet --rm "$made" "$base"
    else
      tar -C "$build/base" -c . | "$builder" import - "$base"
    fi
    rm -rf "$build/base"
  fi
fi

echo "building $image with $builder"
case $builder in
  buildah) command=(buildah build --format docker --isolation "${BUILDAH_ISOLATION:-chroot}") ;;
  podman) command=(podman build --format docker) ;;
  *) command=("$builder" build) ;;
esac
"${command[@]}" "${pull[@]}" --build-arg "BASE=$base" --file "$build/context/Containerfile" --tag "$image" --tag tsugiki:latest "$build/context"
if [ "$builder" = buildah ]; then
  size=$(buildah images --format '{{.Size}}' "$image" | head -1)
else
  size=$("$builder" image inspect --format '{{.Size}}' "$image" | awk '{ printf "%.2f GB", $1 / 1e9 }')
fi
echo "$image: $size"
