"""What reading a network's weights raises."""


class Mismatch(Exception):
    """The file lacks weights or has others than the network's, or the compiled one does not compute what torch does."""
