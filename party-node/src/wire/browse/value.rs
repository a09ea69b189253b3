//! Values of the node's own tables.

use std::cmp::Ordering;

use pgwire::api::Type;

use crate::output::Cell;
use crate::wire::cells::write_list;

/// One value.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    /// NULL.
    Null,
    /// True or false.
    Bool(bool),
    /// A whole number, also an object's number.
    Int(i64),
    /// A real.
    Real(f64),
    /// Text.
    Text(String),
    /// An array.
    List(Vec<Value>),
}

/// What a column's values are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Of a truth value.
    Bool,
    /// Of a whole number.
    Int,
    /// Of a real.
    Real,
    /// Of a text, and of whatever else is shown as one.
    Text,
    /// Of an array of texts.
    Texts,
    /// Of an array of whole numbers.
    Ints,
}

impl Kind {
    /// For a client.
    pub fn pg(self) -> Type {
        match self {
            Kind::Bool => Type::BOOL,
            Kind::Int => Type::INT8,
            Kind::Real => Type::FLOAT8,
            Kind::Text => Type::TEXT,
            Kind::Texts => Type::TEXT_ARRAY,
            Kind::Ints => Type::INT8_ARRAY,
        }
    }

    /// An array of these.
    pub fn list(self) -> Self {
        if self == Kind::Int { Kind::Ints } else { Kind::Texts }
    }
}

impl Value {
    /// A text.
    pub fn text(text: impl Into<String>) -> Self {
        Value::Text(text.into())
    }

    /// Is it true (NULL is not)?
    pub fn is_true(&self) -> bool {
        match self {
            Value::Bool(value) => *value,
            Value::Text(text) => truth(text) == Some(true),
            _ => false,
        }
    }

    /// Bytes that it keeps beside itself.
    pub fn beside(&self) -> usize {
        match self {
            Value::Text(text) => text.len(),
            Value::List(list) => list.iter().map(|value| size_of::<Self>() + value.beside()).sum(),
            _ => 0,
        }
    }

    /// As a text, if it is not NULL.
    pub fn shown(&self) -> Option<String> {
        Some(match self {
            Value::Null => return None,
            Value::Bool(value) => value.to_string(),
            Value::Int(value) => value.to_string(),
            Value::Real(value) => value.to_string(),
            Value::Text(text) => text.clone(),
            Value::List(list) => {
                write_list(&list.iter().map(|v| v.shown().unwrap_or_else(|| "NULL".into())).collect::<Vec<_>>())
            }
        })
    }

    /// As a whole number, if it is one.
    pub fn int(&self) -> Option<i64> {
        match self {
            Value::Int(value) => Some(*value),
            Value::Bool(value) => Some(i64::from(*value)),
            Value::Real(value) if value.fract() == 0.0 && value.abs() < 9e15 => Some(*value as i64),
            Value::Text(text) => text.trim().parse().ok(),
            _ => None,
        }
    }

    /// How it stands to another; nothing where one is NULL.
    pub fn compare(&self, other: &Self) -> Option<Ordering> {
        match (self, other) {
            (Value::Null, _) | (_, Value::Null) => None,
            (Value::Text(a), Value::Text(b)) => Some(a.cmp(b)),
            (Value::List(a), Value::List(b)) => {
                let differ =
                    a.iter().zip(b).map(|(a, b)| a.compare(b).unwrap_or(Ordering::Equal)).find(|order| order.is_ne());
                Some(differ.unwrap_or_else(|| a.len().cmp(&b.len())))
            }
            (Value::Bool(_), Value::Text(text)) => self.compare(&Value::Bool(truth(text)?)),
            (Value::Text(text), Value::Bool(_)) => Value::Bool(truth(text)?).compare(other),
            (Value::Real(a), Value::Real(b)) => a.partial_cmp(b),
            (Value::Real(a), other) => a.partial_cmp(&(other.int()? as f64)),
            (other, Value::Real(b)) => (other.int()? as f64).partial_cmp(b),
            (a, b) => match (a.int(), b.int()) {
                (Some(a), Some(b)) => Some(a.cmp(&b)),
                // A number beside a text that is none: unequal, in some order.
                _ => Some(a.shown()?.cmp(&b.shown()?)),
            },
        }
    }

    /// For a client, as a column of this kind.
    pub fn cell(&self, kind: Kind) -> Cell {
        match (self, kind) {
            (Value::Null, _) => Cell::Null,
            (value, Kind::Bool) => Cell::Bool(value.is_true() || value.int().is_some_and(|n| n != 0)),
            (value, Kind::Int) => value.int().map_or(Cell::Null, |n| Cell::Number(n.to_string())),
            (Value::List(_), Kind::Real) => Cell::Null,
            (value, Kind::Real) => {
                value.shown().filter(|text| text.parse::<f64>().is_ok()).map_or(Cell::Null, Cell::Number)
            }
            (Value::List(list), Kind::Ints) => {
                Cell::Text(write_list(&list.iter().map(|v| v.int().unwrap_or(0).to_string()).collect::<Vec<_>>()))
            }
            (Value::List(_), _) => Cell::Text(self.shown().unwrap_or_default()),
            (value, Kind::Texts | Kind::Ints) => Cell::Text(write_list(&[value.shown().unwrap_or_default()])),
            (Value::Bool(value), Kind::Text) => Cell::Text(if *value { "t" } else { "f" }.into()),
            (value, Kind::Text) => Cell::Text(value.shown().unwrap_or_default()),
        }
    }
}

fn truth(text: &str) -> Option<bool> {
    match text.to_ascii_lowercase().as_str() {
        "t" | "true" | "on" | "yes" | "1" => Some(true),
        "f" | "false" | "off" | "no" | "0" => Some(false),
        _ => None,
    }
}
