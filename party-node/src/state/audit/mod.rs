//! The audit log: a file of lines, one for each thing that happened, each with the hash of the line before it and signed by the
//! site. It is only ever appended to.
//!
//! Alone it shows any changed, inserted, reordered or removed byte, but not a shorter log, nor one that the owner of the key
//! wrote anew. A shorter log shows against the head in the ledger, at every start; both rolled back together, or a
//! log written anew, against the heads that the other sites have in theirs ([`Event::Heads`]).

mod event;
mod export;
mod file;
mod record;
mod tail;
mod verify;

pub use event::{Asked, Event, Head, SiteHead, Step};
pub use export::verify_export;
pub use record::Entry;
pub use verify::{BadLine, Summary, entries, verify};

pub(super) use export::{export, seal};
pub(super) use file::{LogFile, Tail, rolled_back};
pub(super) use tail::{line_hash, lines};
pub(super) use verify::{check_all, find_line, read_all};
