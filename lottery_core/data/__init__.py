"""A data set's name and content -> images and labels.

originals.py the original files of a folder: found, identified, read in pieces; files.py opens
             them, idx.py and cifar.py know the two forms there are
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
from lottery_core.data.originals import identify
from lottery_core.data.prepared import prepared
from lottery_core.data.preparing import archives, is_prepared, prepare, read_part

__all__ = [
    "Data",
    "DataUnavailable",
    "Images",
    "archives",
    "counts_of",
    "identify",
    "is_prepared",
    "load_data",
    "mean_and_deviation",
    "prepare",
    "prepared",
    "read_part",
    "values_of",
]
