"""Images of one's own -> the parts of a data set, on disk and in order.

What had to be guessed, converted, split or left out is told in notes, and what can't be
understood in one way is refused.

    folders.py      which files belong to which class, and which are left out
    decoding.py     one image file -> a square of pixels
    archives.py     the arrays of an .npz archive, checked and in parts
    heap.py         images on disk until it is known which are trained on
    gathering.py    all of it in order
"""

from lottery_core.data.own_images.gathering import Form, gather

__all__ = ["Form", "gather"]
