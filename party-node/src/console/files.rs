//! The console's pages, as they lie in `console/dist` and in the binary.

use hyper::header::{CACHE_CONTROL, ETAG, HeaderMap, HeaderValue, IF_NONE_MATCH};
use hyper::{Response, StatusCode};
use sha2::{Digest, Sha256};

use crate::http::{self, Reply};
use crate::state::hex;

/// Path, type, content.
const FILES: [(&str, &str, &[u8]); 5] = [
    ("/", "text/html; charset=utf-8", include_bytes!("../../console/dist/index.html")),
    ("/console.js", "text/javascript; charset=utf-8", include_bytes!("../../console/dist/console.js")),
    ("/style.css", "text/css; charset=utf-8", include_bytes!("../../console/dist/style.css")),
    ("/icon.svg", "image/svg+xml", include_bytes!("../../console/dist/icon.svg")),
    ("/licences.txt", "text/plain; charset=utf-8", include_bytes!("../../console/dist/licences.txt")),
];

/// A file, or that the browser's copy still is the file; none for a path without one.
pub fn file(path: &str, headers: &HeaderMap) -> Option<Reply> {
    let (_, kind, content) = FILES.into_iter().find(|(known, ..)| *known == path)?;
    let etag = format!("\"{}\"", hex::text(&Sha256::digest(content)[..16]));
    let known = headers.get(IF_NONE_MATCH).is_some_and(|known| known.as_bytes() == etag.as_bytes());
    let mut reply: Reply = match known {
        true => Response::new(http::nothing()),
        false => http::whole(StatusCode::OK, kind, content),
    };
    if known {
        *reply.status_mut() = StatusCode::NOT_MODIFIED;
    }
    let etag = HeaderValue::from_str(&etag).expect("hexadecimal digits in quotes");
    reply.headers_mut().insert(ETAG, etag);
    reply.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    Some(reply)
}
