//! The console's contract, read from its TypeScript: does a JSON value have exactly the fields and types of an interface?

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use serde_json::Value;

/// The interfaces and aliases of `console/src/api/`.
pub struct Contract(BTreeMap<String, (Vec<String>, Type)>);

#[derive(Debug, Clone)]
enum Type {
    /// With arguments.
    Name(String, Vec<Type>),
    Literal(String),
    Array(Box<Type>),
    Tuple(Vec<Type>),
    Object(Vec<Field>),
    Either(Vec<Type>),
    Both(Vec<Type>),
}

#[derive(Debug, Clone)]
struct Field {
    name: String,
    optional: bool,
    of: Type,
}

impl Contract {
    /// Reads it.
    pub fn read() -> Self {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("console/src/api");
        let mut all = BTreeMap::new();
        for file in ["common", "plan", "jobs", "steward"] {
            let text = fs::read_to_string(folder.join(file).with_extension("ts")).unwrap();
            Parser { tokens: tokens(&text), at: 0 }.file(&mut all);
        }
        Self(all)
    }

    /// Panics where the value is not of this type, with the way to the first place that is not.
    pub fn holds(&self, value: &Value, of: &str) {
        let mut parser = Parser { tokens: tokens(of), at: 0 };
        let of_type = parser.of_type();
        if let Err(why) = self.check(value, &of_type, &BTreeMap::new()) {
            panic!("not {of}: {why}\n{value:#}");
        }
    }

    fn check(&self, value: &Value, of: &Type, bound: &BTreeMap<String, Type>) -> Result<(), String> {
        let wrong = || Err(format!(": {} is not {of:?}", short(value)));
        match of {
            Type::Literal(text) => {
                if value.as_str() == Some(text) {
                    Ok(())
                } else {
                    wrong()
                }
            }
            Type::Either(all) => {
                let found: Vec<_> = all.iter().map(|one| self.check(value, one, bound)).collect();
                if found.iter().any(Result::is_ok) {
                    return Ok(());
                }
                // The longest way is that of the alternative that was meant.
                let why = found.into_iter().filter_map(Result::err).max_by_key(|why| why.find(": ").unwrap_or(0));
                Err(why.unwrap_or_default())
            }
            Type::Array(each) => {
                let Value::Array(all) = value else { return wrong() };
                let mut each = all.iter().enumerate().map(|(at, one)| (at, self.check(one, each, bound)));
                each.find_map(|(at, found)| found.err().map(|why| Err(format!("[{at}]{why}")))).unwrap_or(Ok(()))
            }
            Type::Tuple(each) => match value {
                Value::Array(all) if all.len() == each.len() => {
                    all.iter().zip(each).try_for_each(|(one, of)| self.check(one, of, bound))
                }
                _ => wrong(),
            },
            Type::Name(name, given) => match (name.as_str(), value) {
                ("string", Value::String(_)) | ("boolean", Value::Bool(_)) | ("null", Value::Null) => Ok(()),
                ("number", Value::Number(number))
                    if number.as_f64().is_some_and(|n| n.abs() <= 9_007_199_254_740_991.0) =>
                {
                    Ok(())
                }
                ("unknown", _) => Ok(()),
                ("string" | "boolean" | "null" | "number", _) => wrong(),
                ("Record", Value::Object(all)) => all
                    .iter()
                    .try_for_each(|(key, one)| self.check(one, &given[1], bound).map_err(|why| format!(".{key}{why}"))),
                ("Record", _) => wrong(),
                _ if bound.contains_key(name) => self.check(value, &bound[name], &BTreeMap::new()),
                ("Omit", _) => self.object(value, of, bound),
                _ => {
                    let (parameters, of) = self.0.get(name).unwrap_or_else(|| panic!("no type {name}"));
                    let given = given.iter().map(|one| substituted(one, bound));
                    let bound = parameters.iter().cloned().zip(given).collect();
                    self.check(value, of, &bound)
                }
            },
            Type::Object(_) | Type::Both(_) => self.object(value, of, bound),
        }
    }

    fn object(&self, value: &Value, of: &Type, bound: &BTreeMap<String, Type>) -> Result<(), String> {
        let Value::Object(found) = value else { return Err(format!(": {} is no object", short(value))) };
        let (fields, open) = self.fields(of, bound);
        for Field { name, optional, of } in &fields {
            match found.get(name) {
                Some(value) => self.check(value, of, bound).map_err(|why| format!(".{name}{why}"))?,
                None if *optional => (),
                None => return Err(format!(".{name}: is missing")),
            }
        }
        match found.keys().find(|key| !open && !fields.iter().any(|field| field.name == **key)) {
            Some(key) => Err(format!(".{key}: is not in the contract")),
            None => Ok(()),
        }
    }

    /// All fields, and whether there may be others.
    fn fields(&self, of: &Type, bound: &BTreeMap<String, Type>) -> (Vec<Field>, bool) {
        match of {
            Type::Object(fields) => {
                let each = fields.iter().map(|field| Field { of: substituted(&field.of, bound), ..field.clone() });
                (each.collect(), false)
            }
            Type::Both(all) => all.iter().map(|one| self.fields(one, bound)).fold(
                (Vec::new(), false),
                |(mut fields, open), (more, also)| {
                    fields.extend(more);
                    (fields, open || also)
                },
            ),
            Type::Name(name, given) if name == "Omit" => {
                let (mut fields, open) = self.fields(&given[0], bound);
                fields.retain(|field| !matches!(&given[1], Type::Literal(name) if *name == field.name));
                (fields, open)
            }
            Type::Name(name, _) if name == "Record" => (Vec::new(), true),
            Type::Name(name, _) => self.fields(&self.0[name].1, bound),
            other => panic!("{other:?} has no fields"),
        }
    }
}

fn substituted(of: &Type, bound: &BTreeMap<String, Type>) -> Type {
    match of {
        Type::Name(name, _) if bound.contains_key(name) => bound[name].clone(),
        Type::Array(each) => Type::Array(Box::new(substituted(each, bound))),
        Type::Either(all) => Type::Either(all.iter().map(|one| substituted(one, bound)).collect()),
        other => other.clone(),
    }
}

fn short(value: &Value) -> String {
    value.to_string().chars().take(80).collect()
}

/// Words, quoted texts and signs; comments are left out.
fn tokens(text: &str) -> Vec<String> {
    let (mut all, mut rest) = (Vec::new(), text);
    while let Some(first) = rest.chars().next() {
        let length = if rest.starts_with("/*") {
            rest.find("*/").unwrap() + 2
        } else if rest.starts_with("//") {
            rest.find('\n').unwrap_or(rest.len())
        } else if first == '"' {
            rest[1..].find('"').unwrap() + 2
        } else if first.is_alphanumeric() || first == '_' {
            rest.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(rest.len())
        } else {
            first.len_utf8()
        };
        let (token, after) = rest.split_at(length);
        if !token.starts_with('/') && !token.trim().is_empty() {
            all.push(token.to_owned());
        }
        rest = after;
    }
    all
}

struct Parser {
    tokens: Vec<String>,
    at: usize,
}

impl Parser {
    fn file(mut self, all: &mut BTreeMap<String, (Vec<String>, Type)>) {
        while self.at < self.tokens.len() {
            if !self.takes("export") {
                self.at += 1;
                continue;
            }
            let (interface, alias) = (self.takes("interface"), self.takes("type"));
            if !interface && !alias {
                continue;
            }
            let (name, mut parameters) = (self.next(), Vec::new());
            if self.takes("<") {
                parameters.push(self.next());
                assert!(self.takes(">"));
            }
            let above = self.takes("extends").then(|| Type::Name(self.next(), Vec::new()));
            if alias {
                assert!(self.takes("="));
            }
            let own = self.of_type();
            let whole = above.map_or(own.clone(), |above| Type::Both(vec![above, own]));
            all.insert(name, (parameters, whole));
        }
    }

    fn of_type(&mut self) -> Type {
        let mut all = Vec::new();
        self.takes("|");
        loop {
            let mut both = vec![self.postfix()];
            while self.takes("&") {
                both.push(self.postfix());
            }
            all.push(if both.len() == 1 { both.remove(0) } else { Type::Both(both) });
            if !self.takes("|") {
                return if all.len() == 1 { all.remove(0) } else { Type::Either(all) };
            }
        }
    }

    fn postfix(&mut self) -> Type {
        let mut of = self.primary();
        while self.peeks("[") {
            assert!(self.takes("[") && self.takes("]"));
            of = Type::Array(Box::new(of));
        }
        of
    }

    fn primary(&mut self) -> Type {
        let token = self.next();
        match token.as_str() {
            "(" => {
                let of = self.of_type();
                assert!(self.takes(")"));
                of
            }
            "{" => self.members(),
            "[" => {
                let mut all = vec![self.of_type()];
                while self.takes(",") {
                    all.push(self.of_type());
                }
                assert!(self.takes("]"));
                Type::Tuple(all)
            }
            text if text.starts_with('"') => Type::Literal(text.trim_matches('"').to_owned()),
            _ => {
                let mut given = Vec::new();
                if self.takes("<") {
                    given.push(self.of_type());
                    while self.takes(",") {
                        given.push(self.of_type());
                    }
                    assert!(self.takes(">"));
                }
                Type::Name(token, given)
            }
        }
    }

    fn members(&mut self) -> Type {
        let mut fields = Vec::new();
        while !self.takes("}") {
            let (name, optional) = (self.next(), self.takes("?"));
            assert!(self.takes(":"), "{name}");
            fields.push(Field { name, optional, of: self.of_type() });
            self.takes(";");
        }
        Type::Object(fields)
    }

    fn next(&mut self) -> String {
        self.at += 1;
        self.tokens[self.at - 1].clone()
    }

    fn peeks(&self, token: &str) -> bool {
        self.tokens.get(self.at).is_some_and(|next| next == token)
    }

    fn takes(&mut self, token: &str) -> bool {
        let is = self.peeks(token);
        self.at += usize::from(is);
        is
    }
}
