//! Texts of a file, one a line. The loops that touch every byte are here, since this crate is optimised in every profile.

use zeroize::optimization_barrier;

/// Many short texts in one. Does not print; wiped when dropped.
#[derive(Default)]
pub struct Texts {
    text: Vec<u8>,
    /// Where each begins and ends.
    places: Vec<[u32; 2]>,
}

impl Drop for Texts {
    fn drop(&mut self) {
        wipe(&mut self.text);
        wipe(bytemuck::cast_slice_mut(&mut self.places));
    }
}

impl Texts {
    /// The lines of a text without their ends (`\n` or `\r\n`), blank ones left out. None when a line has `longest` bytes or
    /// more, or the text 4 GiB. 8 bytes of memory for each line beside the text.
    pub fn lines(text: Vec<u8>, longest: usize) -> Option<Texts> {
        let mut texts = Texts { text, places: Vec::new() };
        u32::try_from(texts.text.len()).ok()?;
        // Counted first: growing would leave copies behind.
        let mut lines = 1;
        each_line_end(&texts.text, |_| lines += 1);
        texts.places.reserve_exact(lines);
        let (mut begin, mut is_long) = (0, false);
        let mut take = |end: usize| {
            let id = &texts.text[begin..end];
            is_long |= id.len() >= longest;
            let id = id.strip_suffix(b"\r").unwrap_or(id);
            if !id.is_empty() {
                texts.places.push([begin as u32, (begin + id.len()) as u32]);
            }
            begin = end + 1;
        };
        each_line_end(&texts.text, &mut take);
        if !texts.text.ends_with(b"\n") {
            take(texts.text.len());
        }
        if is_long {
            return None;
        }
        Some(texts)
    }

    /// Takes one more.
    ///
    /// # Panics
    /// When all of them have 4 GiB.
    pub fn push(&mut self, text: &str) {
        let begin = self.text.len();
        self.text.extend_from_slice(text.as_bytes());
        self.places.push([begin, self.text.len()].map(|at| u32::try_from(at).expect("less than 4 GiB")));
    }

    /// The first one, which is no longer one of them.
    pub fn take_first(&mut self) -> Option<&[u8]> {
        let first = *self.places.first()?;
        self.places.remove(0);
        Some(slice(&self.text, first))
    }

    /// How many.
    pub fn len(&self) -> usize {
        self.places.len()
    }

    /// None?
    pub fn is_empty(&self) -> bool {
        self.places.is_empty()
    }

    /// One of them.
    pub fn get(&self, index: usize) -> &[u8] {
        slice(&self.text, self.places[index])
    }

    /// A file of one column in CSV: its name, then the texts at `rows`.
    pub fn csv(&self, name: &str, rows: &[usize]) -> Written {
        let mut file = Written(Vec::with_capacity(name.len() + 3 + rows.len() * 24));
        push_field(&mut file.0, name.as_bytes());
        rows.iter().for_each(|row| push_field(&mut file.0, self.get(*row)));
        file
    }
}

fn slice(text: &[u8], [begin, end]: [u32; 2]) -> &[u8] {
    &text[begin as usize..end as usize]
}

/// Calls `take` with the place of each `\n`, eight bytes at a time.
#[inline(always)]
fn each_line_end(text: &[u8], mut take: impl FnMut(usize)) {
    const LOW_BITS: u64 = u64::from_ne_bytes([0x7f; 8]);
    let (words, rest) = text.as_chunks::<8>();
    for (word, bytes) in words.iter().enumerate() {
        let other = u64::from_le_bytes(*bytes) ^ u64::from_ne_bytes([b'\n'; 8]);
        // The highest bit of each byte that is zero: adding to seven bits carries nowhere else.
        let mut ends = !(((other & LOW_BITS) + LOW_BITS) | other | LOW_BITS);
        while ends != 0 {
            take(8 * word + ends.trailing_zeros() as usize / 8);
            ends &= ends - 1;
        }
    }
    let first = 8 * words.len();
    rest.iter().enumerate().filter(|(_, byte)| **byte == b'\n').for_each(|(at, _)| take(first + at));
}

/// Has none of these bytes, and is UTF-8?
pub fn is_utf8_without(text: &[u8], special: [u8; 3]) -> bool {
    let [a, b, c] = special;
    let is_special = |byte: u8| (byte == a) | (byte == b) | (byte == c);
    // Without a way out of the loop, so that it runs on vectors.
    let holds = |bytes: &[u8]| bytes.iter().fold(false, |holds, byte| holds | is_special(*byte));
    !text.chunks(1 << 12).any(holds) && std::str::from_utf8(text).is_ok()
}

/// The bytes of a file. Wiped when dropped.
pub struct Written(Vec<u8>);

impl Written {
    /// What to write.
    pub fn bytes(&self) -> &[u8] {
        &self.0
    }
}

impl Drop for Written {
    fn drop(&mut self) {
        wipe(&mut self.0);
    }
}

/// A field and the end of its line, in quotes where it needs them (RFC 4180).
fn push_field(text: &mut Vec<u8>, field: &[u8]) {
    if field.iter().fold(false, |special, byte| special | matches!(byte, b',' | b'"' | b'\r' | b'\n')) {
        text.push(b'"');
        for byte in field {
            text.push(*byte);
            if *byte == b'"' {
                text.push(b'"');
            }
        }
        text.push(b'"');
    } else {
        text.extend_from_slice(field);
    }
    text.push(b'\n');
}

/// All at once: a volatile write for each byte takes as long as reading the file.
fn wipe(bytes: &mut [u8]) {
    bytes.fill(0);
    optimization_barrier(bytes);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(text: &str) -> Option<Vec<String>> {
        let texts = Texts::lines(text.as_bytes().to_vec(), 8)?;
        Some((0..texts.len()).map(|line| String::from_utf8(texts.get(line).to_vec()).unwrap()).collect())
    }

    #[test]
    fn lines_end_as_they_like_and_blank_ones_are_none() {
        for text in ["id\na\n\nbc\n", "id\r\na\r\n\r\nbc", "\n\nid\na\nbc\n\n"] {
            assert_eq!(lines(text).unwrap(), ["id", "a", "bc"], "{text:?}");
        }
        assert!(lines("").unwrap().is_empty());
    }

    #[test]
    fn a_line_that_is_too_long_is_refused_and_one_that_is_not_is_kept() {
        assert_eq!(lines("1234567\n").unwrap(), ["1234567"]);
        assert_eq!(lines("12345678\n"), None);
    }

    #[test]
    fn special_bytes_and_bytes_that_are_no_text_are_found_anywhere() {
        let mut text = vec![b'a'; 10_000];
        assert!(is_utf8_without(&text, *b"\",\0"));
        for (at, byte) in [(0, b'"'), (5000, b','), (9999, 0), (4096, 0xff)] {
            text[at] = byte;
            assert!(!is_utf8_without(&text, *b"\",\0"), "{byte} at {at}");
            text[at] = b'a';
        }
    }

    #[test]
    fn fields_are_quoted_where_they_must_be() {
        let mut texts = Texts::default();
        ["a", "b,c", "d\"e", "f\r"].into_iter().for_each(|id| texts.push(id));
        assert_eq!(texts.csv("id", &[0, 1, 2, 3]).bytes(), b"id\na\n\"b,c\"\n\"d\"\"e\"\n\"f\r\"\n");
        assert_eq!(texts.take_first(), Some(&b"a"[..]));
        assert_eq!((texts.len(), texts.get(0)), (3, &b"b,c"[..]));
    }
}
