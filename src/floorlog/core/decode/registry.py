"""Every format of the wire, one line each; the shared checks run over all of them."""

from floorlog.core.decode import arrays, frame, gzipped, kpl, lines, single, zstd
from floorlog.core.decode.formats import Envelope, Listing, Shape

AGGREGATE: Envelope = kpl.FORMAT  # only outermost

COMPRESSIONS: tuple[Envelope, ...] = (  # at most one, around a text
    gzipped.FORMAT,
    zstd.FORMAT,
)

LISTINGS: tuple[Listing, ...] = (  # the first that recognises the text reads it
    arrays.FORMAT,
    lines.FORMAT,
)

SHAPES: tuple[Shape, ...] = (  # the first that recognises the object reads it
    frame.FORMAT,
    single.FORMAT,
)

FORMATS = (AGGREGATE, *COMPRESSIONS, *LISTINGS, *SHAPES)
