//! The columns of a batch as numbers that can be summed.

use arrow::array::{Array, ArrayRef, AsArray};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Date32Type, Decimal128Type, Float64Type, Int64Type};

/// A column of numbers.
pub(super) enum Numbers {
    /// Integers times 10^-`digits`.
    Exact {
        /// NULL is none.
        values: Vec<Option<i128>>,
        /// Digits after the point.
        digits: u8,
    },
    /// Doubles.
    Real(Vec<Option<f64>>),
}

impl Numbers {
    /// Reads a column; none when its type is not a number.
    pub(super) fn read(array: &ArrayRef) -> Option<Self> {
        let exact = |values, digits| Some(Self::Exact { values, digits });
        match array.data_type() {
            DataType::Int64 => exact(widen(array.as_primitive::<Int64Type>().iter()), 0),
            DataType::Decimal128(_, scale) => {
                exact(array.as_primitive::<Decimal128Type>().iter().collect(), u8::try_from(*scale).ok()?)
            }
            DataType::Date32 => exact(widen(array.as_primitive::<Date32Type>().iter()), 0),
            DataType::Boolean => exact(array.as_boolean().iter().map(|b| b.map(i128::from)).collect(), 0),
            DataType::Null => exact(vec![None; array.len()], 0),
            DataType::Float64 => Some(Self::Real(array.as_primitive::<Float64Type>().iter().collect())),
            DataType::UInt64 => Self::read(&cast(array, &DataType::Decimal128(20, 0)).ok()?),
            integer if integer.is_integer() => Self::read(&cast(array, &DataType::Int64).ok()?),
            DataType::Float16 | DataType::Float32 => Self::read(&cast(array, &DataType::Float64).ok()?),
            _ => None,
        }
    }

    /// The exact value of a row, if the column is exact.
    pub(super) fn exact(&self, row: usize) -> Option<i128> {
        match self {
            Self::Exact { values, .. } => values[row],
            Self::Real(_) => None,
        }
    }

    /// The value of a row as a double, converted as SQL's CAST would.
    pub(super) fn real(&self, row: usize) -> Option<f64> {
        match self {
            Self::Exact { values, digits } => values[row].map(|v| v as f64 / 10f64.powi(i32::from(*digits))),
            Self::Real(values) => values[row],
        }
    }

    /// Digits after the point of an exact column.
    pub(super) fn digits(&self) -> Option<u8> {
        match self {
            Self::Exact { digits, .. } => Some(*digits),
            Self::Real(_) => None,
        }
    }
}

fn widen<T: Into<i128>>(values: impl Iterator<Item = Option<T>>) -> Vec<Option<i128>> {
    values.map(|value| value.map(Into::into)).collect()
}
