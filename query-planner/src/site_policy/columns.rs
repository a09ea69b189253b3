//! What a site says about a column: `["filter", "sum"]`, or `{ uses = ["sum"], clamp = [0, 120] }`.

use std::collections::BTreeSet;
use std::fmt;

use serde::de::value::{MapAccessDeserializer, SeqAccessDeserializer};
use serde::de::{MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use toml::Value as Toml;

use crate::catalog::ColumnType;
use crate::site_policy::Purpose;
use crate::value::read_decimal;

/// What a column may be used for, and how far its values go.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ColumnGrant {
    /// Nothing else.
    pub uses: BTreeSet<Purpose>,
    /// A value outside is read as the nearest of these.
    pub clamp: Option<Clamp>,
}

/// A closed range in the column's own unit, as decimal texts: the column's type is not known to the file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "[Toml; 2]", into = "[String; 2]")]
pub struct Clamp {
    lo: String,
    hi: String,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Full {
    #[serde(default)]
    uses: BTreeSet<Purpose>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    clamp: Option<Clamp>,
}

impl Clamp {
    /// Lowest and highest, unscaled, for a column of that type; none where they are no such numbers or the wrong way round.
    pub fn bounds(&self, column: ColumnType) -> Option<(i64, i64)> {
        let scale = match column {
            ColumnType::Int => 0,
            ColumnType::Decimal { scale, .. } => scale,
            _ => return None,
        };
        let read = |text: &str| i64::try_from(read_decimal(text, scale)?).ok();
        Some((read(&self.lo)?, read(&self.hi)?)).filter(|(lo, hi)| lo <= hi)
    }
}

impl TryFrom<[Toml; 2]> for Clamp {
    type Error = String;

    fn try_from(ends: [Toml; 2]) -> Result<Self, String> {
        let text = |end: &Toml| match end {
            Toml::Integer(i) => Ok(i.to_string()),
            Toml::String(text) if is_decimal(text) => Ok(text.clone()),
            other => Err(format!("a clamp has two whole numbers, or decimals in quotes, not {other}")),
        };
        Ok(Clamp { lo: text(&ends[0])?, hi: text(&ends[1])? })
    }
}

impl From<Clamp> for [String; 2] {
    fn from(clamp: Clamp) -> [String; 2] {
        [clamp.lo, clamp.hi]
    }
}

impl fmt::Display for Clamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} to {}", self.lo, self.hi)
    }
}

/// Digits, perhaps a sign before them and a point among them.
pub(super) fn is_decimal(text: &str) -> bool {
    let digits = |part: &str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit());
    let (whole, rest) = text.split_once('.').unwrap_or((text, "0"));
    digits(whole.strip_prefix('-').unwrap_or(whole)) && digits(rest)
}

impl Serialize for ColumnGrant {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match &self.clamp {
            None => self.uses.serialize(serializer),
            clamp => Full { uses: self.uses.clone(), clamp: clamp.clone() }.serialize(serializer),
        }
    }
}

impl<'de> Deserialize<'de> for ColumnGrant {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Either)
    }
}

/// Not an untagged enum: that would forget where in the file the mistake is.
struct Either;

impl<'de> Visitor<'de> for Either {
    type Value = ColumnGrant;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list of purposes, or { uses = [...], clamp = [lowest, highest] }")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, list: A) -> Result<ColumnGrant, A::Error> {
        let uses = BTreeSet::deserialize(SeqAccessDeserializer::new(list))?;
        Ok(ColumnGrant { uses, clamp: None })
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<ColumnGrant, A::Error> {
        let Full { uses, clamp } = Full::deserialize(MapAccessDeserializer::new(map))?;
        Ok(ColumnGrant { uses, clamp })
    }
}
