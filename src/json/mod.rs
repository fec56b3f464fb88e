//! JSON text to [`crate::link::Tree`] and back, strictly. Kept apart from `link`, so that the noun
//! knows nothing of syntax, and from `web`, so that every door (API, inbound, batch) is as strict as
//! every other. It must not know what any member means.

use std::cell::Cell;
use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error as _, MapAccess, SeqAccess, Visitor};
use sha2::{Digest, Sha256};

use crate::link::Tree;

/// Containers within containers, the outermost one counted (`contract.md`, Errors).
pub const DEPTH: usize = 32;

/// Why bytes are not the JSON object that a request has to be: 400 `malformed_json`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum Malformed {
    /// Not UTF-8 from this byte on.
    NotUtf8 { byte: usize },
    /// A syntax error, or a number that no 64-bit format holds.
    NotJson { line: usize, column: usize },
    /// One object names the same member twice; the place is that of the second.
    DuplicateMember { line: usize, column: usize },
    /// More than [`DEPTH`] containers within each other.
    TooDeep { line: usize, column: usize },
    /// Something follows the object.
    TrailingBytes { line: usize, column: usize },
    /// Valid JSON, but no object.
    NotAnObject,
}

impl fmt::Display for Malformed {
    // says where, never what: the body may hold personal data and this reaches logs
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotUtf8 { byte } => write!(f, "the body is not UTF-8 at byte {byte}"),
            Self::NotJson { line, column } => {
                write!(f, "the body is not JSON at line {line}, column {column}")
            }
            Self::DuplicateMember { line, column } => write!(
                f,
                "an object names the same member twice before line {line}, column {column}"
            ),
            Self::TooDeep { line, column } => write!(
                f,
                "the body is nested deeper than {DEPTH} levels at line {line}, column {column}"
            ),
            Self::TrailingBytes { line, column } => write!(
                f,
                "something follows the JSON object at line {line}, column {column}"
            ),
            Self::NotAnObject => f.write_str("the body is not a JSON object"),
        }
    }
}
impl std::error::Error for Malformed {}

/// Reads one JSON object: UTF-8, no member twice, at most [`DEPTH`] deep, nothing after it.
/// Whole numbers without fraction or exponent that fit `i64` become [`Tree::Int`], all other
/// numbers [`Tree::Number`]. (`-0.0` becomes 0, too: it comes out of the parser as `-0` does.)
pub fn parse(bytes: &[u8]) -> Result<Tree, Malformed> {
    let text = std::str::from_utf8(bytes).map_err(|fault| Malformed::NotUtf8 {
        byte: fault.valid_up_to(),
    })?;
    let told = Cell::new(None);
    let mut source = serde_json::Deserializer::from_str(text);
    let seed = Seed {
        depth: 0,
        told: &told,
    };
    let tree = seed.deserialize(&mut source).map_err(|fault| {
        let (line, column) = (fault.line(), fault.column());
        match told.get() {
            Some(Broken::Duplicate) => Malformed::DuplicateMember { line, column },
            Some(Broken::Deep) => Malformed::TooDeep { line, column },
            None => Malformed::NotJson { line, column },
        }
    })?;
    source.end().map_err(|fault| Malformed::TrailingBytes {
        line: fault.line(),
        column: fault.column(),
    })?;
    match tree {
        Tree::Map(_) => Ok(tree),
        _ => Err(Malformed::NotAnObject),
    }
}

/// The rules that are ours and not serde's. A serde error is only text, so the visitor leaves word.
#[derive(Clone, Copy)]
enum Broken {
    Duplicate,
    Deep,
}

#[derive(Clone, Copy)]
struct Seed<'a> {
    /// Containers around this value.
    depth: usize,
    told: &'a Cell<Option<Broken>>,
}

impl Seed<'_> {
    fn inside<E: serde::de::Error>(self) -> Result<Self, E> {
        if self.depth >= DEPTH {
            self.told.set(Some(Broken::Deep));
            return Err(E::custom("nested too deep"));
        }
        Ok(Self {
            depth: self.depth + 1,
            ..self
        })
    }
}

impl<'de> DeserializeSeed<'de> for Seed<'_> {
    type Value = Tree;
    fn deserialize<D: Deserializer<'de>>(self, source: D) -> Result<Tree, D::Error> {
        source.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Seed<'_> {
    type Value = Tree;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }
    fn visit_unit<E>(self) -> Result<Tree, E> {
        Ok(Tree::Null)
    }
    fn visit_bool<E>(self, flag: bool) -> Result<Tree, E> {
        Ok(Tree::Bool(flag))
    }
    fn visit_i64<E>(self, number: i64) -> Result<Tree, E> {
        Ok(Tree::Int(number))
    }
    fn visit_u64<E>(self, number: u64) -> Result<Tree, E> {
        Ok(i64::try_from(number).map_or_else(|_| Tree::Number(number.to_string()), Tree::Int))
    }
    fn visit_f64<E>(self, number: f64) -> Result<Tree, E> {
        // how serde_json hands out `-0`, a whole number
        if number == 0.0 && number.is_sign_negative() {
            return Ok(Tree::Int(0));
        }
        Ok(Tree::Number(format!("{number:?}")))
    }
    fn visit_str<E>(self, text: &str) -> Result<Tree, E> {
        Ok(Tree::Text(text.to_owned()))
    }
    fn visit_string<E>(self, text: String) -> Result<Tree, E> {
        Ok(Tree::Text(text))
    }
    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Tree, A::Error> {
        let seed = self.inside()?;
        let mut list = Vec::new();
        while let Some(item) = items.next_element_seed(seed)? {
            list.push(item);
        }
        Ok(Tree::List(list))
    }
    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Tree, A::Error> {
        let seed = self.inside()?;
        let mut map: Vec<(String, Tree)> = Vec::new();
        // a set beside the list: a body of 1 MiB may have 100 000 members, and a scan for each
        // would be a way to keep a core busy
        let mut names = std::collections::HashSet::new();
        while let Some(name) = members.next_key::<String>()? {
            if !names.insert(name.clone()) {
                self.told.set(Some(Broken::Duplicate));
                return Err(A::Error::custom("duplicate member"));
            }
            map.push((name, members.next_value_seed(seed)?));
        }
        Ok(Tree::Map(map))
    }
}

/// The same value for serde. A [`Tree::Number`] that is no JSON number becomes a string.
pub fn value(tree: &Tree) -> serde_json::Value {
    use serde_json::Value;
    match tree {
        Tree::Null => Value::Null,
        Tree::Bool(flag) => Value::Bool(*flag),
        Tree::Int(number) => Value::from(*number),
        Tree::Number(number) => serde_json::from_str(number)
            .ok()
            .filter(Value::is_number)
            .unwrap_or_else(|| Value::String(number.clone())),
        Tree::Text(text) => Value::String(text.clone()),
        Tree::List(items) => Value::Array(items.iter().map(value).collect()),
        Tree::Map(members) => Value::Object(
            members
                .iter()
                .map(|(name, member)| (name.clone(), value(member)))
                .collect(),
        ),
    }
}

/// The same value for `link`.
pub fn tree(value: &serde_json::Value) -> Tree {
    use serde_json::Value;
    match value {
        Value::Null => Tree::Null,
        Value::Bool(flag) => Tree::Bool(*flag),
        Value::Number(number) => number
            .as_i64()
            .map_or_else(|| Tree::Number(number.to_string()), Tree::Int),
        Value::String(text) => Tree::Text(text.clone()),
        Value::Array(items) => Tree::List(items.iter().map(tree).collect()),
        Value::Object(members) => Tree::Map(
            members
                .iter()
                .map(|(name, member)| (name.clone(), tree(member)))
                .collect(),
        ),
    }
}

/// SHA-256 of a canonical form: two bodies that differ only in white space, escapes or the order
/// of members have the same (`contract.md`, Idempotency).
pub fn fingerprint(tree: &Tree) -> [u8; 32] {
    let mut hash = Sha256::new();
    digest(tree, &mut hash);
    hash.finalize().into()
}

/// Every value is its kind and its length or number of items before its content, so that no two
/// different trees have the same bytes.
fn digest(tree: &Tree, hash: &mut Sha256) {
    fn text(kind: u8, text: &str, hash: &mut Sha256) {
        hash.update([kind]);
        hash.update((text.len() as u64).to_be_bytes());
        hash.update(text.as_bytes());
    }
    match tree {
        Tree::Null => hash.update(b"z"),
        Tree::Bool(flag) => hash.update([b'b', u8::from(*flag)]),
        Tree::Int(number) => {
            hash.update(b"i");
            hash.update(number.to_be_bytes());
        }
        Tree::Number(number) => text(b'n', number, hash),
        Tree::Text(content) => text(b't', content, hash),
        Tree::List(items) => {
            hash.update(b"l");
            hash.update((items.len() as u64).to_be_bytes());
            for item in items {
                digest(item, hash);
            }
        }
        Tree::Map(members) => {
            hash.update(b"m");
            hash.update((members.len() as u64).to_be_bytes());
            let mut sorted: Vec<_> = members.iter().collect();
            sorted.sort_by(|a, b| a.0.cmp(&b.0));
            for (name, member) in sorted {
                text(b'k', name, hash);
                digest(member, hash);
            }
        }
    }
}

#[cfg(test)]
mod tests;
