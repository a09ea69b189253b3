//! Pieces of SQL: quoted names, and values that are bound and never written.

use std::sync::Arc;

use tokio_postgres::types::ToSql;

/// SQL, and what its `$1`, `$2`… stand for.
#[derive(Clone)]
pub(super) struct Statement {
    /// Without any value.
    pub text: String,
    bound: Vec<Bound>,
}

/// A bound value, as text or as an array of texts; the SQL casts it. Does not print: patients who opted out are among them.
#[derive(Clone)]
enum Bound {
    Text(String),
    Texts(Arc<Vec<String>>),
}

/// Collects what a statement binds.
#[derive(Default)]
pub(super) struct Writer {
    bound: Vec<Bound>,
}

impl Writer {
    /// The place of a value.
    pub fn bind(&mut self, text: String) -> String {
        self.bound.push(Bound::Text(text));
        format!("${}", self.bound.len())
    }

    /// The place of an array of texts.
    pub fn bind_all(&mut self, texts: Arc<Vec<String>>) -> String {
        self.bound.push(Bound::Texts(texts));
        format!("${}", self.bound.len())
    }

    /// The statement with all that was bound.
    pub fn finish(self, text: String) -> Statement {
        Statement { text, bound: self.bound }
    }
}

impl Statement {
    /// SQL that binds nothing.
    pub fn plain(text: String) -> Self {
        Self { text, bound: Vec::new() }
    }

    /// Bytes of the longest text that is bound and may stand in a row.
    pub fn widest(&self) -> usize {
        let texts = self.bound.iter().filter_map(|bound| match bound {
            Bound::Text(text) => Some(text.len()),
            Bound::Texts(_) => None,
        });
        texts.max().unwrap_or(0)
    }

    /// What is bound, for the driver.
    pub fn bound(&self) -> Vec<&(dyn ToSql + Sync)> {
        fn of(bound: &Bound) -> &(dyn ToSql + Sync) {
            match bound {
                Bound::Text(text) => text,
                Bound::Texts(texts) => &**texts,
            }
        }
        self.bound.iter().map(of).collect()
    }
}

// What is bound may be a patient's.
impl std::fmt::Debug for Statement {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Statement({} values)", self.bound.len())
    }
}

/// A name, whatever characters it has.
pub(super) fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_name_ends_its_own_quotes() {
        assert_eq!(quoted("person"), "\"person\"");
        assert_eq!(quoted("a\"; DROP TABLE b; --"), "\"a\"\"; DROP TABLE b; --\"");
    }
}
