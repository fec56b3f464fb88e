//! Strict JSON and the plain tree that `link` understands.

use serde_json::{Map, Value};

use crate::link::Tree;

/// The tree as a JSON value.
pub fn value(tree: &Tree) -> Value {
    match tree {
        Tree::Null => Value::Null,
        Tree::Bool(it) => Value::Bool(*it),
        Tree::Int(it) => Value::from(*it),
        Tree::Number(it) => serde_json::from_str(it).unwrap_or(Value::Null),
        Tree::Text(it) => Value::String(it.clone()),
        Tree::List(items) => Value::Array(items.iter().map(value).collect()),
        Tree::Map(members) => Value::Object(
            members
                .iter()
                .map(|(name, it)| (name.clone(), value(it)))
                .collect::<Map<_, _>>(),
        ),
    }
}

/// A JSON value as a tree.
pub fn tree(value: &Value) -> Tree {
    match value {
        Value::Null => Tree::Null,
        Value::Bool(it) => Tree::Bool(*it),
        Value::Number(it) => it
            .as_i64()
            .map_or_else(|| Tree::Number(it.to_string()), Tree::Int),
        Value::String(it) => Tree::Text(it.clone()),
        Value::Array(items) => Tree::List(items.iter().map(tree).collect()),
        Value::Object(members) => Tree::Map(
            members
                .iter()
                .map(|(name, it)| (name.clone(), tree(it)))
                .collect(),
        ),
    }
}
