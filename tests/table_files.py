"""A folder of small data files of the kinds that people have, each with what reading it must give.

`FILES` maps a name to its content (text, bytes, or a function that writes the file) and to an expectation: `Read` or
`Refused`. Names may hold options of reading after a blank, ``penguins.csv missing=drop``: the same file, read so.
"""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import zipfile
from pathlib import Path

from binary_files import BINARIES, Content, Read, Refused

IRIS = "sepal_length,sepal_width,petal_length,petal_width,species\n" + "".join(
    f"{5 + 0.1 * i:.1f},{3 + 0.1 * (i % 3):.1f},{1.4 + i:.1f},{0.2 * i:.1f},{kind}\n"
    for i, kind in enumerate(["setosa"] * 4 + ["versicolor"] * 4 + ["virginica"] * 4)
)
PENGUINS = """species,island,bill_length_mm,bill_depth_mm,flipper_length_mm,body_mass_g,sex
Adelie,Torgersen,39.1,18.7,181,3750,male
Adelie,Torgersen,39.5,17.4,186,3800,female
Adelie,Torgersen,NA,NA,NA,NA,NA
Chinstrap,Dream,46.5,17.9,192,3500,female
Gentoo,Biscoe,46.1,13.2,211,4500,
Gentoo,Biscoe,50,16.3,230,5700,male
"""
WINE = "class,alcohol,malic_acid,proline\n" + "".join(
    f"{1 + i // 4},{14 - 0.1 * i:.2f},{1 + 0.3 * (i % 4):.2f},{1000 - 7 * i}\n" for i in range(12)
)
GENES = "gene\tcontrol\ttreated\tday3\nBRCA1\t1.5\t2.5\t0\nTP53\t3\t4.25\t1\nMARCH1\t0\t0.5\t7\n"
SKLEARN = "6,2,setosa,virginica\n" + "".join(f"{i}.5,{i * i}.25,{i // 3}\n" for i in range(6))
PLAIN = "a,b\n1.5,2\n3,4\n"
SQUARE = [[0.0, 1.0, 2.0], [1.0, 0.0, 3.0], [2.0, 3.0, 0.0]]
CONDENSED = [1.0, 2.0, 3.0]
DISTANCES = {"distances": True}


def _zip(*members: tuple[str, str]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, text in members:
            archive.writestr(name, text)
    return buffer.getvalue()


TEXTS: dict[str, tuple[Content, Read | Refused]] = {
    "iris.csv": (
        IRIS,
        Read((12, 4), columns=IRIS.split("\n")[0].split(",")[:4], said=("left out (text): species",)),
    ),
    "penguins.csv missing=error": (
        PENGUINS,
        Refused(
            r"line 4, column 3: 'NA' is not a number \(a missing value: .*--missing mean or median, .*--missing drop"
            r"\); 4 values are missing, in columns 'bill_length_mm', 'bill_depth_mm'",
            options={"missing": "error"},
        ),
    ),
    "penguins.csv": (
        PENGUINS,
        Read((5, 4), said=("1 row with missing values left out (--missing error refuses them, mean and median",)),
    ),
    "gaps.csv": (
        "a,b,c\n1,2,3\n4,,6\n7,,9.5\n",
        Refused(r"line 3, column 2: the cell is empty .*--missing drop\); 2 values are missing, in column 'b'"),
    ),
    "penguins.csv missing=drop": (
        PENGUINS,
        Read(
            (5, 4),
            None,
            ["bill_length_mm", "bill_depth_mm", "flipper_length_mm", "body_mass_g"],
            [39.1, 18.7, 181, 3750],
            ("no row names", "left out (text): species, island, sex", "1 row with missing values left out"),
            options={"missing": "drop"},
        ),
    ),
    "penguins.csv missing=median": (
        PENGUINS,
        Read((6, 4), said=("4 missing values filled in by median",), options={"missing": "median"}),
    ),
    "wine.csv": (WINE, Read((12, 3), said=("left out (known classes): class",))),
    "wine.csv columns": (
        WINE,
        Read((12, 2), columns=["class", "proline"], options={"columns": ["class", "proline"]}),
    ),
    "wine.csv exclude=class": (
        WINE,
        Read((12, 3), columns=["alcohol", "malic_acid", "proline"], options={"exclude": ["class"]}),
    ),
    "scikit-learn.csv": (SKLEARN, Read((6, 3), said=("first line counts rows and columns",))),
    "genes.tsv": (GENES, Read((3, 3), ["BRCA1", "TP53", "MARCH1"], ["control", "treated", "day3"], [1.5, 2.5, 0])),
    "genes.tsv transpose": (
        GENES,
        Read(
            (3, 3),
            ["control", "treated", "day3"],
            ["BRCA1", "TP53", "MARCH1"],
            [1.5, 3, 0],
            options={"transpose": True},
        ),
    ),
    "excel-german.csv": (
        "Name;a;b\nx;1,5;1.234,5\ny;2;10\n",
        Read((2, 2), ["x", "y"], ["a", "b"], [1.5, 1234.5], ("semicolons; decimal comma, points between thousands",)),
    ),
    "decimal-comma.txt": ("1,5\t2,25\n3\t4,5\n", Read((2, 2), first=[1.5, 2.25], said=("tabs; decimal comma",))),
    "thousands.csv": (
        'a,b\n"1,234,567.5",2\n"12",3\n',
        Read((2, 2), first=[1234567.5, 2], said=("commas between thousands",)),
    ),
    "thousands-blank.csv": ("a;b\n1 234,5;2\n12,5;3\n", Read((2, 2), first=[1234.5, 2])),
    "swiss.csv": ("a;b\n1'234.5;2\n12.5;3\n", Read((2, 2), first=[1234.5, 2])),
    "ambiguous.csv": (
        'a,b\n"1,234",2\n"5,678",3\n',
        Refused("'1,234' is .*Give --decimal . or --decimal ,"),
    ),
    "ambiguous.csv decimal=.": ('a,b\n"1,234",2\n', Read((1, 2), first=[1234, 2], options={"decimal": "."})),
    "ambiguous.csv decimal=,": ('a,b\n"1,234",2\n', Read((1, 2), first=[1.234, 2], options={"decimal": ","})),
    "likely.csv": ("a;b\n1,234;2\n5,678;3\n", Read((2, 2), first=[1.234, 2], warned="1,234 is read as 1.234")),
    "mixed.csv": ("a;b\n1,5;2.5\n3;4\n", Refused("'1,5' is not a number .*mixed: write all numbers alike")),
    "blanks.txt": ("x  y\n 1.5   2\n3 4\n", Read((2, 2), columns=["x", "y"], first=[1.5, 2], said=("by blanks",))),
    "bars.txt": ("a|b\n1.5|2\n3|4\n", Read((2, 2), columns=["a", "b"], first=[1.5, 2], said=("by bars",))),
    "comments.csv": ("# made in May\n# by hand\n" + PLAIN, Read((2, 2), columns=["a", "b"])),
    "title.csv": ("Measurements of May\na,b,c\n1,2,3\n4,5,6.5\n", Refused("line 2 has 3 cells.*a title")),
    "blanks-comma.txt": ("1,5 2,5\n3 4,25\n", Read((2, 2), first=[1.5, 2.5], said=("by blanks; decimal comma",))),
    "comment-below.csv": (
        PLAIN + "# note\n",
        Refused("line 4 has 1 cell.*comments are allowed above the table"),
    ),
    "bom.csv": ("\ufeff" + PLAIN, Read((2, 2), columns=["a", "b"])),
    "utf16.csv": (PLAIN.encode("utf-16"), Read((2, 2), columns=["a", "b"], said=("text in UTF-16",))),
    "latin1.csv": ("näme,b\nö,2\nü,4\n".encode("latin-1"), Read((2, 1), ["ö", "ü"], ["b"], said=("Windows-1252",))),
    "packed.csv.gz": (gzip.compress(PLAIN.encode()), Read((2, 2), columns=["a", "b"])),
    "packed.csv.bz2": (bz2.compress(PLAIN.encode()), Read((2, 2), columns=["a", "b"])),
    "packed.csv.xz": (lzma.compress(PLAIN.encode()), Read((2, 2), columns=["a", "b"])),
    "packed.csv.zip": (_zip(("t.csv", PLAIN)), Read((2, 2), columns=["a", "b"])),
    "packed.zip": (_zip(("t.tsv", GENES), ("__MACOSX/t.tsv", "")), Read((3, 3))),
    "two.zip": (_zip(("t.csv", PLAIN), ("u.csv", PLAIN)), Refused(r"holds 2 files \(t.csv, u.csv\).*unpack it")),
    "notes.zip": (_zip(("t.doc", PLAIN)), Refused("unknown kind of file '.zip'")),
    "line-breaks.csv": (
        'name,"a\n(mm)",note\n"x\ny",1.5,"two\nlines, of text"\nz,2,"one"\n',
        Read((2, 1), ["x\ny", "z"], ["a\n(mm)"], said=("left out (text): note",)),
    ),
    "empty-column.csv": (
        "a,b,c\n1,,2\n3,NA,4\n",
        Read((2, 2), columns=["a", "c"], said=("out (no values): b",)),
    ),
    "ids.csv": ("a,b,sample_id\n1,2,17\n3,4,5\n9,8,11\n", Read((3, 2), said=("left out (identifiers): sample_id",))),
    "booleans.csv": ("a,b\nTRUE,1.5\nfalse,2\n", Read((2, 2), first=[1, 1.5])),
    "infinite.csv": ("a,b\n1,2\ninf,4\n", Refused("line 3, column 1: 'inf' is not a finite number")),
    "typing-error.csv": ("a,b\n1,2\n3,4\n5,6o\n", Refused("line 4, column 2: '6o' is not a number .*--exclude b")),
    "words.csv": ("a,b\nx,y\nz,w\n", Refused("'y' is not a number")),
    "nothing.csv": ("\n", Refused("is empty")),
}
DISTANCE_TEXTS: dict[str, tuple[Content, Read | Refused]] = {
    "square.csv": (
        ",A,B,C\nA,0,1,2\nB,1,0,3\nC,2,3,0\n",
        Read((3, 3), ["A", "B", "C"], first=SQUARE[0], options=DISTANCES),
    ),
    "square.phy": ("3\nA 0 1 2\nB 1 0 3\nC 2 3 0\n", Refused("unknown kind of file '.phy'", options=DISTANCES)),
    "phylip.txt": ("3\nA 0 1 2\nB 1 0 3\nC 2 3 0\n", Refused("a matrix in PHYLIP form. Give --precomputed")),
    "phylip.txt distances": (
        "3\nA 0 1 2\nB 1 0 3\nC 2 3 0\n",
        Read((3, 3), ["A", "B", "C"], first=SQUARE[0], options=DISTANCES),
    ),
    "phylip-lower.txt": ("   3\nA\nB\t1\nC 2 3\n", Read((3,), ["A", "B", "C"], first=CONDENSED, options=DISTANCES)),
    "lower.csv": ("0\n1,0\n2,3,0\n", Read((3,), first=CONDENSED, said=("a lower triangle",), options=DISTANCES)),
    "lower-padded.csv": ("A,0,,\nB,1,0,\nC,2,3,0\n", Read((3,), list("ABC"), first=CONDENSED, options=DISTANCES)),
    "lower-bare.csv": ("1\n2,3\n", Read((3,), first=CONDENSED, options=DISTANCES)),
    "upper.csv": ("0,1,2\n,0,3\n,,0\n", Read((3,), first=CONDENSED, said=("an upper triangle",), options=DISTANCES)),
    "upper-bare.csv": (",B,C\nA,1,2\nB,,3\n", Read((3,), list("ABC"), first=CONDENSED, options=DISTANCES)),
    "dist-of-R.txt": (
        "     A    B\nB  1.0\nC  2.0  3.0\n",
        Read((3,), list("ABC"), first=CONDENSED, options=DISTANCES),
    ),
    "ragged.csv": ("1,2,3\n1,2\n1,2,3,4\n", Refused("line 2 has 2 cells, but the rows before it have 3", DISTANCES)),
}
FILES = TEXTS | DISTANCE_TEXTS | BINARIES


def write_file(folder: Path, name: str) -> Path:
    """Write a file of `FILES`, and return its path, with the sheet after a colon."""
    content, _ = FILES[name]
    stem = name.split(" ")[0]
    path = folder / stem.partition(":")[0]
    if isinstance(content, str):
        path.write_text(content, encoding="utf-8")
    elif isinstance(content, bytes):
        path.write_bytes(content)
    else:
        content(path)
    return folder / stem
