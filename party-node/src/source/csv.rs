//! A CSV file to columns of text.
//!
//! Splitting is the csv crate's; this file adds what it does not report: a quote that is never closed, NUL bytes, lines
//! without end, and bytes that are not UTF-8. An empty field is NULL. The csv crate does not say whether a field was
//! quoted, so `""` is NULL as well, where PostgreSQL would read an empty string.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::path::Path;

use ::csv::{ByteRecord, Reader, ReaderBuilder, Terminator};
use arrow::array::StringArray;
use arrow::buffer::{NullBuffer, OffsetBuffer, ScalarBuffer};

use super::infer::Shape;
use super::watch::{Watched, unreadable};
use super::{Origin, Place, RawColumn, SourceTable, Values, check_names};
use crate::fault::{NodeError, printable};

/// Longest physical line. Records of hospitals have hundreds of bytes; a megabyte without a line feed is not a table.
pub const MAX_LINE_BYTES: usize = 1 << 20;

/// Follows the file's last byte. NUL never passes [`Guard`], so a record of NUL alone can only be this one, and a NUL
/// anywhere else means that a quote was still open at the end of the file.
const END: &[u8] = b"\n\0\n";

/// Reads a whole file.
pub(super) fn read(path: &Path, origin: Origin) -> Result<SourceTable, NodeError> {
    let (file, watched) = Watched::open(path, &origin)?;
    if watched.bytes() == 0 {
        return Err(empty(&origin));
    }
    let mut records = Records::open(file, &origin)?;
    let header = records.header()?;
    check_names(&header, &origin)?;
    let mut columns = vec![TextColumn::default(); header.len()];
    let mut lines = Vec::new();
    while records.advance()? {
        records.fields(&mut columns, lines.len())?;
        lines.push(records.line);
    }
    watched.verify(&origin)?;
    let raw = |(name, column): (String, TextColumn)| column.finish(name, &origin);
    let columns = header.into_iter().zip(columns).map(raw).collect::<Result<_, _>>()?;
    Ok(SourceTable { rows: lines.len(), place: Place::Lines(lines), origin, columns })
}

/// Hands on the fields of every row; the names of the columns.
pub(super) fn visit(path: &Path, origin: &Origin, mut take: impl FnMut(&[&str])) -> Result<Vec<String>, NodeError> {
    let (file, watched) = Watched::open(path, origin)?;
    if watched.bytes() == 0 {
        return Err(empty(origin));
    }
    let mut records = Records::open(file, origin)?;
    let header = records.header()?;
    check_names(&header, origin)?;
    while records.advance()? {
        let text = records.text(header.len())?;
        let fields = (0..header.len()).map(|i| records.field(text, i)).collect::<Result<Vec<_>, _>>()?;
        take(&fields);
    }
    watched.verify(origin)?;
    Ok(header)
}

/// Hands on the fields of one column, in the order of the rows.
pub(super) fn visit_column(
    path: &Path,
    origin: &Origin,
    column: &str,
    mut take: impl FnMut(&str),
) -> Result<(), NodeError> {
    let (file, watched) = Watched::open(path, origin)?;
    if watched.bytes() == 0 {
        return Err(empty(origin));
    }
    let mut records = Records::open(file, origin)?;
    let header = records.header()?;
    check_names(&header, origin)?;
    let unknown = || {
        let fault = origin.fault("UNKNOWN_COLUMN", &format!("has no column {}", printable(column)));
        fault.hint(format!("it has {}", printable(&header.join(", "))))
    };
    let at = header.iter().position(|name| name == column).ok_or_else(unknown)?;
    while records.advance()? {
        take(records.field(records.text(header.len())?, at)?);
    }
    Ok(())
}

/// The records of one file, one at a time.
struct Records<'a> {
    reader: Reader<Box<dyn Read>>,
    record: ByteRecord,
    /// Line on which the record starts.
    line: u64,
    origin: &'a Origin,
}

impl<'a> Records<'a> {
    fn open(file: File, origin: &'a Origin) -> Result<Self, NodeError> {
        let mut file = BufReader::with_capacity(1 << 16, file);
        let start = file.fill_buf().map_err(|e| unreadable(origin, &e))?;
        match start {
            [0x1f, 0x8b, ..] => {
                let fault = origin.fault("GZIP_AS_CSV", "is compressed with gzip, not CSV");
                return Err(fault.hint("unpack it with gunzip first"));
            }
            [0xff, 0xfe, ..] | [0xfe, 0xff, ..] => {
                let fault = origin.fault("NOT_UTF8", "line 1: is UTF-16 text");
                return Err(fault.hint("save it again as UTF-8"));
            }
            [0xef, 0xbb, 0xbf, ..] => file.consume(3),
            _ => {}
        }
        let guarded = Guard { inner: file, line: 1, line_bytes: 0, origin: origin.clone() }.chain(END);
        let mut options = ReaderBuilder::new();
        // With CR as a terminator too, the crate's line numbers would depend on the kind of line end.
        options.has_headers(false).flexible(true).terminator(Terminator::Any(b'\n')).buffer_capacity(1 << 16);
        Ok(Self { reader: options.from_reader(Box::new(guarded)), record: ByteRecord::new(), line: 1, origin })
    }

    /// The names of the columns, without surrounding spaces.
    fn header(&mut self) -> Result<Vec<String>, NodeError> {
        if !self.advance()? {
            return Err(empty(self.origin));
        }
        let name = |field: &[u8]| std::str::from_utf8(field).map(|name| name.trim().to_owned());
        let names: Vec<String> = self.record.iter().map(name).collect::<Result<_, _>>().map_err(|_| self.not_utf8())?;
        if names.iter().any(|name| name.contains('\r')) {
            let fault = self.origin.at_line(1, "CR_LINE_ENDS", "has carriage returns between column names");
            return Err(fault.hint("save the file with line feeds at the ends of lines"));
        }
        Ok(names)
    }

    /// Reads the next record that is not a blank line; false at the end.
    fn advance(&mut self) -> Result<bool, NodeError> {
        loop {
            let before = self.reader.position().line();
            let more = self.reader.read_byte_record(&mut self.record).map_err(|e| from_csv(e, self.origin))?;
            let swallowed = self.record.as_slice().last_chunk().is_some_and(|end: &[u8; 2]| end == b"\0\n");
            self.line = self.start_line(before, !swallowed);
            if !more || swallowed {
                let fault = self.origin.at_line(self.line, "UNTERMINATED_QUOTE", "a quoted field is never closed");
                return Err(fault.hint("close the quote, or double a quote that belongs to the text"));
            }
            match self.record.as_slice() {
                b"\0" => return Ok(false),
                b"\r" if self.record.len() == 1 => {}
                _ => return Ok(true),
            }
        }
    }

    /// The crate counts line feeds. Blank lines before the record, which it skips, and line feeds inside the record lie
    /// between the two counts; most records have neither.
    fn start_line(&self, before: u64, terminated: bool) -> u64 {
        let after = self.reader.position().line() - u64::from(terminated);
        if after == before {
            return before;
        }
        let inside = self.record.as_slice().iter().filter(|b| **b == b'\n').count();
        after - inside as u64
    }

    /// Adds the record's fields to the columns.
    fn fields(&self, columns: &mut [TextColumn], row: usize) -> Result<(), NodeError> {
        let text = self.text(columns.len())?;
        for (i, column) in columns.iter_mut().enumerate() {
            column.push(row, self.field(text, i)?);
        }
        Ok(())
    }

    /// The record's text, if it has so many fields.
    fn text(&self, width: usize) -> Result<&str, NodeError> {
        if self.record.len() != width {
            let what = format!("has {} fields where the header has {width}", self.record.len());
            return Err(self.origin.at_line(self.line, "RAGGED_ROW", &what));
        }
        std::str::from_utf8(self.record.as_slice()).map_err(|_| self.not_utf8())
    }

    /// One field of the record's text.
    fn field<'t>(&self, text: &'t str, i: usize) -> Result<&'t str, NodeError> {
        // A character may straddle two fields only if neither of them is UTF-8.
        let field = self.record.range(i).and_then(|range| text.get(range)).ok_or_else(|| self.not_utf8())?;
        // A carriage return before the line feed belongs to the line's end.
        Ok(if i + 1 == self.record.len() { field.strip_suffix('\r').unwrap_or(field) } else { field })
    }

    fn not_utf8(&self) -> NodeError {
        let valid = |field: &[u8]| std::str::from_utf8(field).is_ok();
        let column = self.record.iter().position(|field| !valid(field)).map_or(1, |i| i + 1);
        let what = format!("column {column}: is not UTF-8 text");
        self.origin.at_line(self.line, "NOT_UTF8", &what).hint("save the file again as UTF-8")
    }
}

/// The fields of one column, one after the other.
#[derive(Debug, Clone, Default)]
struct TextColumn {
    text: String,
    ends: Vec<usize>,
    shape: Shape,
}

impl TextColumn {
    fn push(&mut self, row: usize, field: &str) {
        self.text.push_str(field);
        self.ends.push(self.text.len());
        self.shape.see(row, field);
    }

    fn finish(self, name: String, origin: &Origin) -> Result<RawColumn, NodeError> {
        let too_large = || origin.fault("FILE_TOO_LARGE", "has a column with more than 2 GiB of text");
        let offset = |end: &usize| i32::try_from(*end);
        let offsets = std::iter::once(Ok(0)).chain(self.ends.iter().map(offset));
        let offsets: Vec<i32> = offsets.collect::<Result<_, _>>().map_err(|_| too_large())?;
        let valid = NullBuffer::from_iter(offsets.windows(2).map(|ends| ends[0] < ends[1]));
        // Ends only grow, and each is the length of a string after whole fields were added, so all three parts agree.
        let offsets = OffsetBuffer::new(ScalarBuffer::from(offsets));
        let texts = StringArray::try_new(offsets, self.text.into_bytes().into(), Some(valid));
        let texts = texts.map_err(|_| origin.fault("FILE_UNREADABLE", "has text that cannot be stored"))?;
        Ok(RawColumn { name, values: Values::Text(texts), shape: Some(self.shape) })
    }
}

/// Refuses NUL bytes and endless lines before they reach the csv crate, which would buffer them.
struct Guard {
    inner: BufReader<File>,
    line: u64,
    line_bytes: usize,
    origin: Origin,
}

impl Read for Guard {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        let n = self.inner.read(out)?;
        out[..n].split_inclusive(|b| *b == b'\n').try_for_each(|piece| self.check(piece)).map_err(io::Error::other)?;
        Ok(n)
    }
}

impl Guard {
    /// Checks a piece of one line.
    fn check(&mut self, piece: &[u8]) -> Result<(), NodeError> {
        self.line_bytes += piece.len();
        if piece.contains(&0) {
            return Err(self.origin.at_line(self.line, "NUL_BYTE", "has a NUL byte"));
        }
        if self.line_bytes > MAX_LINE_BYTES {
            return Err(self.origin.at_line(self.line, "LINE_TOO_LONG", "is longer than 1 MiB"));
        }
        if piece.ends_with(b"\n") {
            self.line += 1;
            self.line_bytes = 0;
        }
        Ok(())
    }
}

/// What [`Guard`] found, or the operating system's error.
fn from_csv(error: ::csv::Error, origin: &Origin) -> NodeError {
    match error.into_kind() {
        ::csv::ErrorKind::Io(error) => {
            let ours = error.get_ref().and_then(|inner| inner.downcast_ref::<NodeError>()).cloned();
            ours.unwrap_or_else(|| unreadable(origin, &error))
        }
        _ => origin.fault("FILE_UNREADABLE", "cannot be split into records"),
    }
}

fn empty(origin: &Origin) -> NodeError {
    origin.fault("EMPTY_FILE", "is empty").hint("a table without rows still needs a header line")
}
