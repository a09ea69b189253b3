//! Functions that programs call on PostgreSQL's catalogue.

use super::World;
use super::lists::TYPES;
use super::tables::PUBLIC;
use super::value::{Kind, Value};
use crate::fault::{NodeError, printable};
use crate::wire::session::VERSION;

/// Is it computed over a group of rows?
pub fn is_aggregate(name: &str) -> bool {
    let name = name.to_lowercase();
    let name = name.strip_prefix("pg_catalog.").unwrap_or(&name);
    ["count", "min", "max", "sum", "array_agg", "string_agg", "bool_and", "bool_or", "every"].contains(&name)
}

/// The longest text that is made of others.
const MAX_TEXT: usize = 1 << 20;

/// Is a text of this length made?
fn fits(bytes: usize) -> Result<(), NodeError> {
    match bytes > MAX_TEXT {
        true => Err(NodeError::new("TOO_MUCH_WORK", format!("a text has at most {MAX_TEXT} bytes"))),
        false => Ok(()),
    }
}

fn joined(texts: &[String], between: &str) -> Result<Value, NodeError> {
    fits(texts.iter().map(|text| text.len() + between.len()).sum())?;
    Ok(Value::Text(texts.join(between)))
}

/// Over the values of a group.
///
/// # Errors
/// `TOO_MUCH_WORK`.
pub fn aggregate(name: &str, values: Vec<Value>, between: &str) -> Result<Value, NodeError> {
    let there = values.iter().filter(|value| **value != Value::Null);
    let best = |pick: std::cmp::Ordering| {
        let better = |a: Value, b: &Value| if b.compare(&a) == Some(pick) { b.clone() } else { a };
        there.clone().fold(None, |best: Option<Value>, value| {
            Some(best.map_or_else(|| value.clone(), |best| better(best, value)))
        })
    };
    Ok(match name {
        "count" => Value::Int(there.count() as i64),
        "min" => best(std::cmp::Ordering::Less).unwrap_or(Value::Null),
        "max" => best(std::cmp::Ordering::Greater).unwrap_or(Value::Null),
        "sum" => {
            let sum = there
                .map(|value| value.int())
                .try_fold(None, |sum: Option<i64>, value| Some(Some(sum.unwrap_or(0).checked_add(value?)?)));
            sum.flatten().map_or(Value::Null, Value::Int)
        }
        "bool_and" | "every" => Value::Bool(there.clone().all(Value::is_true)),
        "bool_or" => Value::Bool(there.clone().any(Value::is_true)),
        "array_agg" if values.is_empty() => Value::Null,
        "array_agg" => Value::List(values),
        _ => {
            let texts: Vec<String> = there.filter_map(Value::shown).collect();
            if texts.is_empty() { Value::Null } else { joined(&texts, between)? }
        }
    })
}

/// What a function's values are, with the kind of its first argument.
pub fn kind(name: &str, first: Option<Kind>) -> Kind {
    match name {
        "min" | "max" | "coalesce" | "nullif" | "any_value" => first.unwrap_or(Kind::Text),
        "array_agg" | "array" => first.unwrap_or(Kind::Text).list(),
        "unnest" => {
            if first == Some(Kind::Ints) {
                Kind::Int
            } else {
                Kind::Text
            }
        }
        "current_schemas" | "string_to_array" => Kind::Texts,
        "count"
        | "sum"
        | "length"
        | "char_length"
        | "array_length"
        | "array_upper"
        | "array_lower"
        | "cardinality"
        | "strpos"
        | "position"
        | "pg_backend_pid"
        | "pg_relation_size"
        | "pg_total_relation_size"
        | "pg_table_size"
        | "pg_indexes_size"
        | "pg_database_size"
        | "txid_current"
        | "generate_subscripts"
        | "generate_series"
        | "pg_my_temp_schema"
        | "to_regtype"
        | "to_regclass"
        | "array_position" => Kind::Int,
        "bool_and" | "bool_or" | "every" | "pg_is_in_recovery" | "starts_with" | "pg_try_advisory_lock" => Kind::Bool,
        name if name.ends_with("_is_visible") || name.starts_with("has_") || name.starts_with("pg_has_") => Kind::Bool,
        _ => Kind::Text,
    }
}

/// Calls a function.
///
/// # Errors
/// `UNKNOWN_FUNCTION`, `TOO_MUCH_WORK`.
pub fn call(world: &World, name: &str, args: &[Value]) -> Result<Value, NodeError> {
    let name = name.strip_prefix("pg_catalog.").unwrap_or(name);
    let text = |at: usize| args.get(at).and_then(Value::shown);
    let int = |at: usize| args.get(at).and_then(Value::int);
    let or_null = |text: Option<String>| text.map_or(Value::Null, Value::Text);
    Ok(match name {
        "version" => Value::Text(format!("PostgreSQL {VERSION} (Consilium {})", env!("CARGO_PKG_VERSION"))),
        "current_database" | "current_catalog" => Value::text(&world.database),
        "current_user" | "session_user" | "user" | "current_role" | "pg_get_userbyid" => Value::text(&world.account),
        "current_schema" => Value::text(PUBLIC),
        "current_schemas" => {
            let all: &[&str] =
                if args.first().is_some_and(Value::is_true) { &["pg_catalog", PUBLIC] } else { &[PUBLIC] };
            Value::List(all.iter().map(|name| Value::text(*name)).collect())
        }
        "current_setting" => or_null(text(0).and_then(|name| world.settings.get(&name.to_lowercase()).cloned())),
        "set_config" if text(0).is_none_or(|name| name.to_lowercase().starts_with("consilium.")) => {
            return Err(NodeError::new("UNSUPPORTED", "a function sets nothing here").hint("say SET name = 'value'"));
        }
        // Of PostgreSQL's own settings programs read the value back.
        "set_config" => args.get(1).cloned().unwrap_or(Value::Null),
        "pg_table_is_visible" => Value::Bool(int(0).is_some_and(|oid| world.is_visible(oid))),
        name if name.ends_with("_is_visible") => Value::Bool(true),
        name if name.starts_with("has_") || name.starts_with("pg_has_") => Value::Bool(true),
        "format_type" => or_null(int(0).and_then(|oid| format_type(oid, int(1)))),
        "obj_description" => or_null(int(0).and_then(|oid| world.comment(oid, 0))),
        "col_description" => or_null(int(0).zip(int(1)).and_then(|(oid, column)| world.comment(oid, column))),
        "to_regclass" => text(0).and_then(|name| world.table_oid(&name)).map_or(Value::Null, Value::Int),
        "to_regtype" => text(0).and_then(|name| type_oid(&name)).map_or(Value::Null, Value::Int),
        "pg_encoding_to_char" => Value::text("UTF8"),
        "pg_char_to_encoding" => Value::Int(6),
        "pg_get_expr"
        | "shobj_description"
        | "pg_get_serial_sequence"
        | "pg_get_indexdef"
        | "pg_get_constraintdef"
        | "pg_get_viewdef"
        | "pg_get_triggerdef"
        | "pg_get_ruledef"
        | "pg_get_partkeydef"
        | "pg_get_statisticsobjdef_columns"
        | "pg_relation_filenode"
        | "pg_tablespace_location"
        | "pg_relation_is_publishable"
        | "inet_server_addr"
        | "inet_server_port"
        | "inet_client_addr" => Value::Null,
        "pg_backend_pid"
        | "pg_my_temp_schema"
        | "txid_current"
        | "pg_relation_size"
        | "pg_total_relation_size"
        | "pg_table_size"
        | "pg_indexes_size"
        | "pg_database_size" => Value::Int(0),
        "pg_size_pretty" => Value::text("0 bytes"),
        "pg_is_in_recovery" => Value::Bool(false),
        "now"
        | "current_timestamp"
        | "transaction_timestamp"
        | "statement_timestamp"
        | "clock_timestamp"
        | "pg_postmaster_start_time"
        | "localtimestamp" => Value::Text(crate::clock::utc(crate::state::now_ms()).replace(" UTC", "+00")),
        "quote_ident" => or_null(text(0).map(|name| quoted(&name))),
        "quote_literal" => or_null(text(0).map(|text| format!("'{}'", text.replace('\'', "''")))),
        "lower" => or_null(text(0).map(|text| text.to_lowercase())),
        "upper" => or_null(text(0).map(|text| text.to_uppercase())),
        "btrim" | "trim" => or_null(text(0).map(|text| text.trim().to_owned())),
        "length" | "char_length" => text(0).map_or(Value::Null, |text| Value::Int(text.chars().count() as i64)),
        "replace" => match (text(0), text(1), text(2)) {
            (Some(text), Some(from), Some(to)) if !from.is_empty() => {
                fits(text.len() + text.matches(&from).count() * to.len())?;
                Value::Text(text.replace(&from, &to))
            }
            (text, Some(_), Some(_)) => or_null(text),
            _ => Value::Null,
        },
        "concat" => joined(&args.iter().filter_map(Value::shown).collect::<Vec<_>>(), "")?,
        "strpos" => text(0).zip(text(1)).map_or(Value::Null, |(text, part)| {
            Value::Int(text.find(&part).map_or(0, |at| text[..at].chars().count() as i64 + 1))
        }),
        "substring" | "substr" => or_null(text(0).zip(int(1)).map(|(text, from)| {
            let skip = usize::try_from(from.saturating_sub(1)).unwrap_or(0);
            let take = int(2).map_or(usize::MAX, |count| usize::try_from(count).unwrap_or(0));
            text.chars().skip(skip).take(take).collect()
        })),
        "nullif" => match args {
            [a, b] if a.compare(b) == Some(std::cmp::Ordering::Equal) => Value::Null,
            [a, ..] => a.clone(),
            [] => Value::Null,
        },
        "array_to_string" => match args {
            [Value::List(list), between, ..] => {
                let texts: Vec<String> = list.iter().filter_map(Value::shown).collect();
                joined(&texts, &between.shown().unwrap_or_default())?
            }
            _ => Value::Null,
        },
        "array_length" | "array_upper" | "cardinality" => match args.first() {
            Some(Value::List(list)) if !list.is_empty() => Value::Int(list.len() as i64),
            _ => Value::Null,
        },
        _ => {
            return Err(NodeError::new(
                "UNKNOWN_FUNCTION",
                format!("the node's own catalogue knows no function {}", printable(name)),
            ));
        }
    })
}

/// A type as SQL writes it.
pub fn format_type(oid: i64, modifier: Option<i64>) -> Option<String> {
    let (_, _, _, _, name) = TYPES.iter().find(|known| known.0 == oid)?;
    Some(match modifier {
        Some(modifier) if oid == 1700 && modifier >= 4 => {
            format!("numeric({},{})", (modifier - 4) >> 16, (modifier - 4) & 0x7ff)
        }
        _ => (*name).to_owned(),
    })
}

/// The number of a type.
pub fn type_oid(name: &str) -> Option<i64> {
    let name = name.trim().to_lowercase();
    let name = name.strip_prefix("pg_catalog.").unwrap_or(&name);
    TYPES.iter().find(|(_, short, _, _, long)| *short == name || *long == name).map(|known| known.0)
}

/// The elements of an array's text form.
pub fn list(text: &str) -> Vec<Value> {
    let inner = text.trim().trim_start_matches('{').trim_end_matches('}');
    let elements =
        inner.split(',').map(|element| element.trim().trim_matches('"')).filter(|element| !element.is_empty());
    elements.map(Value::text).collect()
}

fn quoted(name: &str) -> String {
    let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
    let is_plain = !name.is_empty() && name.chars().all(plain) && !name.starts_with(|c: char| c.is_ascii_digit());
    if is_plain { name.to_owned() } else { format!("\"{}\"", name.replace('"', "\"\"")) }
}
