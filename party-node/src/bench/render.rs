//! A benchmark's findings as text.

use serde_json::{Map, Value};

use crate::fault::NodeError;
use crate::output::Format;

/// One JSON object on one line, a CSV header and row, or a line for each figure. Figures inside of others are named `outer.inner`
/// where lines are.
///
/// # Errors
/// `INTERNAL` for findings that are no JSON.
pub fn render(found: &impl serde::Serialize, format: Format) -> Result<String, NodeError> {
    let value = serde_json::to_value(found).map_err(|e| NodeError::new("INTERNAL", e.to_string()))?;
    let mut fields = Vec::new();
    flatten("", value.as_object().unwrap_or(&Map::new()), &mut fields);
    Ok(match format {
        Format::Json => serde_json::to_string(found).map_err(|e| NodeError::new("INTERNAL", e.to_string()))? + "\n",
        Format::Csv => {
            let (names, values): (Vec<_>, Vec<_>) = fields.into_iter().unzip();
            format!("{}\r\n{}\r\n", names.join(","), values.join(",").replace("ms,rate", "ms;rate"))
        }
        Format::Table => fields.iter().map(|(name, value)| format!("{name:<22} {value}\n")).collect(),
    })
}

fn flatten(prefix: &str, object: &Map<String, Value>, fields: &mut Vec<(String, String)>) {
    for (key, value) in object {
        let name = format!("{prefix}{key}");
        match value {
            Value::Object(inner) => flatten(&format!("{name}."), inner, fields),
            Value::String(text) => fields.push((name, text.clone())),
            Value::Null => fields.push((name, String::new())),
            Value::Number(number) if number.is_f64() => {
                fields.push((name, format!("{:.3}", number.as_f64().unwrap_or_default())));
            }
            other => fields.push((name, other.to_string())),
        }
    }
}
