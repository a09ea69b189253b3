//! Messages before the protocol's crate reads them: whole, of an admitted length, and with a body that is what its kind says. The
//! crate reads a body without asking where its message ends.

use tokio::io::{AsyncRead, AsyncReadExt};

/// The longest message of somebody who has logged in: a question has at most 64 KiB, its parameters the rest.
pub const MAX_MESSAGE: usize = 1 << 20;
/// The longest before.
pub const MAX_LOGIN_MESSAGE: usize = 10_000;
/// What a request to cancel has in the place of a version.
const CANCEL: u32 = 80_877_102;

/// Why no message came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Broken {
    /// The peer closed the connection, or it broke.
    Gone,
    /// A message that is too long, or of no length a message can have.
    TooLong,
    /// A body that is not what its kind says.
    Malformed,
}

/// Which messages may come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    /// The first, which has no kind before its length.
    Opening,
    /// The one in which the client names a mechanism.
    Naming,
    /// Any other.
    Talking,
}

/// The messages of a stream.
pub struct Frames<R> {
    from: R,
    stage: Stage,
}

impl<R: AsyncRead + Unpin> Frames<R> {
    /// From its first byte on.
    pub fn new(from: R) -> Self {
        Self { from, stage: Stage::Opening }
    }

    /// What comes behind the last message.
    pub fn into_inner(self) -> R {
        self.from
    }

    /// The next message, of at most the length beside its kind that holds when it comes.
    ///
    /// # Errors
    /// After one nothing more is to be read.
    pub async fn next(&mut self, most: impl Fn() -> usize) -> Result<Vec<u8>, Broken> {
        let head = if self.stage == Stage::Opening { 4 } else { 5 };
        let mut message = vec![0; head];
        self.from.read_exact(&mut message).await.map_err(|_| Broken::Gone)?;
        let stated = message[head - 4..].try_into().map(u32::from_be_bytes).unwrap_or(u32::MAX) as usize;
        // The length counts itself.
        if !(4..=most()).contains(&stated) {
            return Err(Broken::TooLong);
        }
        // Memory is taken as the body comes.
        let body = (&mut self.from).take(stated as u64 - 4).read_to_end(&mut message).await;
        if body.map_err(|_| Broken::Gone)? != stated - 4 {
            return Err(Broken::Gone);
        }
        let rest = match self.stage {
            Stage::Opening => opens(&message[head..]),
            stage => follows(message[0], &message[head..], stage),
        };
        let is_whole = rest.is_some_and(<[u8]>::is_empty);
        self.stage = match (self.stage, message[0]) {
            (Stage::Opening, _) => Stage::Naming,
            (_, b'p') => Stage::Talking,
            (stage, _) => stage,
        };
        if is_whole { Ok(message) } else { Err(Broken::Malformed) }
    }
}

/// What is left behind the body of a first message.
fn opens(body: &[u8]) -> Option<&[u8]> {
    let (version, mut body) = number(body)?;
    if version == CANCEL {
        let (_pid, key) = number(body)?;
        // A key has 4 to 256 bytes.
        return key.get(key.len().clamp(4, 256)..);
    }
    loop {
        let (name, rest) = text(body)?;
        body = rest;
        if name.is_empty() {
            return Some(body);
        }
        body = text(body)?.1;
    }
}

/// What is left behind the body of another one.
fn follows(kind: u8, body: &[u8], stage: Stage) -> Option<&[u8]> {
    match kind {
        b'p' if stage == Stage::Naming => {
            let (_mechanism, body) = text(body)?;
            // Nothing is said by -1, and by no other negative length.
            match number(body)? {
                (u32::MAX, rest) => Some(rest),
                (length, rest) => rest.get(length as usize..),
            }
        }
        b'p' | b'd' => Some(&[]),
        b'Q' | b'f' => Some(text(body)?.1),
        b'P' => {
            let (_name, body) = text(body)?;
            let (_query, body) = text(body)?;
            list(body, |body| Some(number(body)?.1))
        }
        b'B' => {
            let (_portal, body) = text(body)?;
            let (_statement, body) = text(body)?;
            let body = list(body, |body| body.get(2..))?;
            let body = list(body, value)?;
            list(body, |body| body.get(2..))
        }
        b'C' | b'D' => match body.split_first()? {
            (b'S' | b'P', name) => Some(text(name)?.1),
            _ => None,
        },
        b'E' => {
            let (_portal, body) = text(body)?;
            Some(number(body)?.1)
        }
        b'H' | b'S' | b'X' | b'c' => Some(body),
        _ => None,
    }
}

fn number(body: &[u8]) -> Option<(u32, &[u8])> {
    let (bytes, rest) = body.split_first_chunk()?;
    Some((u32::from_be_bytes(*bytes), rest))
}

/// A text up to its end mark, in UTF-8.
fn text(body: &[u8]) -> Option<(&str, &[u8])> {
    let end = body.iter().position(|byte| *byte == 0)?;
    Some((std::str::from_utf8(&body[..end]).ok()?, &body[end + 1..]))
}

/// A value behind its length; NULL has a negative one.
fn value(body: &[u8]) -> Option<&[u8]> {
    let (length, body) = number(body)?;
    if (length as i32) < 0 { Some(body) } else { body.get(length as usize..) }
}

fn list(body: &[u8], item: impl Fn(&[u8]) -> Option<&[u8]>) -> Option<&[u8]> {
    let (count, mut body) = body.split_first_chunk()?;
    for _ in 0..u16::from_be_bytes(*count) {
        body = item(body)?;
    }
    Some(body)
}

#[cfg(test)]
mod tests {
    use super::*;

    const START: &[u8] = b"\0\x03\0\0user\0ines\0\0";
    const NAMES: &[u8] = b"SCRAM-SHA-256\0\0\0\0\x03n,,";

    fn message(kind: &[u8], body: &[u8]) -> Vec<u8> {
        [kind, &(body.len() as u32 + 4).to_be_bytes(), body].concat()
    }

    /// All messages of a stream that comes in pieces, and why it ended.
    async fn read(bytes: &[u8], cut: usize) -> (Vec<Vec<u8>>, Broken) {
        let (mut to, from) = tokio::io::duplex(cut);
        let bytes = bytes.to_vec();
        tokio::spawn(async move {
            use tokio::io::AsyncWriteExt;
            // Whoever reads may have refused it.
            let _ = to.write_all(&bytes).await;
        });
        let (mut frames, mut all) = (Frames::new(from), Vec::new());
        loop {
            match frames.next(|| 200).await {
                Ok(message) => all.push(message),
                Err(why) => return (all, why),
            }
        }
    }

    fn opened() -> Vec<Vec<u8>> {
        vec![message(b"", START), message(b"p", NAMES), message(b"p", b"anything")]
    }

    #[tokio::test]
    async fn messages_come_whole_however_they_are_cut() {
        let mut all = opened();
        all.extend([
            message(b"Q", b"SELECT 1\0"),
            message(b"P", b"s\0SELECT $1\0\0\x01\0\0\0\x17"),
            message(b"B", b"\0s\0\0\x01\0\0\0\x02\0\0\0\x0242\xff\xff\xff\xff\0\x01\0\x01"),
            message(b"D", b"Ps\0"),
            message(b"C", b"S\0"),
            message(b"E", b"\0\0\0\0\x05"),
            message(b"S", b""),
            message(b"X", b""),
        ]);
        for cut in [1, 2, 3, 5, 7, 64, 4096] {
            assert_eq!(read(&all.concat(), cut).await, (all.clone(), Broken::Gone), "cut in {cut}");
        }
    }

    #[tokio::test]
    async fn a_message_that_is_too_long_is_known_from_its_length_alone() {
        for length in [201u32, 3, 0, u32::MAX, 1 << 31] {
            let bytes = [opened().concat(), b"Q".to_vec(), length.to_be_bytes().to_vec()].concat();
            assert_eq!(read(&bytes, 64).await, (opened(), Broken::TooLong), "{length}");
        }
    }

    #[tokio::test]
    async fn a_body_that_is_longer_or_shorter_than_what_it_says_is_refused() {
        for (kind, body) in [
            (b"Q", &b"SELECT 1"[..]),
            (b"Q", b"SELECT 1\0 more"),
            (b"Q", b"\xff\0"),
            (b"P", b"s\0SELECT\0\xff\xff"),
            (b"P", b"s\0SELECT\0\0"),
            (b"B", b"\0\0\0\0\0\x01\x7f\xff\xff\xff\0\0"),
            (b"B", b"\0\0\0\x09\0\0"),
            (b"B", b"\0\0\0\0\0\0\0\x01\0"),
            (b"D", b"X\0"),
            (b"D", b""),
            (b"E", b"\0\0"),
            (b"S", b"x"),
            (b"F", b""),
            (b"\xff", b""),
        ] {
            let bytes = [opened().concat(), message(kind, body)].concat();
            assert_eq!(read(&bytes, 64).await, (opened(), Broken::Malformed), "{kind:?} {body:?}");
        }
        for first in
            [&b"\0\x03\0\0user"[..], b"\0\x03\0\0user\0ines\0", b"\0\x03\0\0\0x", b"\x04\xd2\x16\x2e\0\0\0\x01", b"\0"]
        {
            assert_eq!(read(&message(b"", first), 64).await, (vec![], Broken::Malformed), "{first:?}");
        }
        for naming in [
            &b"SCRAM-SHA-256\0"[..],
            b"SCRAM-SHA-256\0\0\0\0\x09n,,",
            b"SCRAM-SHA-256\0\0\0\0\x01n,,",
            b"SCRAM-SHA-256\0\xff\xff\xff\xfe",
            b"SCRAM",
        ] {
            let bytes = [message(b"", START), message(b"p", naming)].concat();
            assert_eq!(read(&bytes, 64).await, (vec![message(b"", START)], Broken::Malformed), "{naming:?}");
        }
    }
}
