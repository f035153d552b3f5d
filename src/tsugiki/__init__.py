"""The core of Tsugiki: classifiers grafted onto frozen pretrained backbones. Importing it loads nothing heavy."""
