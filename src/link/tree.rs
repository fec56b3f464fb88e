//! A request before it means anything: the JSON data model without its syntax and without
//! fractions. `crate::json` makes it from bytes; [`super::Request::parse`] gives it meaning. It
//! also carries the parts of a sale that are checked here and then handed to Klarna as they are.

/// A value of the JSON data model. Members keep their order; a name occurs once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Tree {
    /// `null`; means the same as an absent member wherever a member is optional.
    Null,
    /// `true` or `false`.
    Bool(bool),
    /// A whole number written without fraction or exponent.
    Int(i64),
    /// Any other number (1.0, 1e3, beyond 64 bit): nowhere valid, kept so that it can be named.
    Number(String),
    /// A string.
    Text(String),
    /// An array.
    List(Vec<Tree>),
    /// An object.
    Map(Vec<(String, Tree)>),
}

impl Tree {
    /// The member `name` of an object, where it is present and not `null`.
    pub fn get(&self, name: &str) -> Option<&Tree> {
        match self {
            Tree::Map(members) => members
                .iter()
                .find(|(key, value)| key == name && *value != Tree::Null)
                .map(|(_, value)| value),
            _ => None,
        }
    }
}
