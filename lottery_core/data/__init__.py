"""A data set's name and content -> images and labels.

idx.py       the original files of a folder: found, identified, read in pieces
fetching.py  the published archives, from the network
prepared.py  one file of uint8 arrays that names its content, mapped by all processes
preparing.py makes that file from whatever source there is, whole or not at all
own.py       data sets that a person added; own_images/ reads their folders and archives
arrays.py    what one recipe trains on: the split, and how pixels become numbers
"""

from lottery_core.data.arrays import (
    Data,
    Images,
    counts_of,
    load_data,
    mean_and_deviation,
    values_of,
)
from lottery_core.data.fetching import DataUnavailable
from lottery_core.data.idx import identify
from lottery_core.data.prepared import prepared
from lottery_core.data.preparing import is_prepared, originals, prepare, read_part

__all__ = [
    "Data",
    "DataUnavailable",
    "Images",
    "counts_of",
    "identify",
    "is_prepared",
    "load_data",
    "mean_and_deviation",
    "originals",
    "prepare",
    "prepared",
    "read_part",
    "values_of",
]
