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

/// Readers of one member. Each answers `None` for a member that is absent or of another type, so
/// that they can be used before as well as after the types were checked.
impl Tree {
    /// The member as text.
    pub fn text(&self, name: &str) -> Option<&str> {
        match self.get(name) {
            Some(Tree::Text(text)) => Some(text),
            _ => None,
        }
    }

    /// The member as a whole number.
    pub fn int(&self, name: &str) -> Option<i64> {
        match self.get(name) {
            Some(Tree::Int(number)) => Some(*number),
            _ => None,
        }
    }

    /// The member as a truth value.
    pub fn flag(&self, name: &str) -> Option<bool> {
        match self.get(name) {
            Some(Tree::Bool(flag)) => Some(*flag),
            _ => None,
        }
    }

    /// The items of a list; none where the member is absent or no list.
    pub fn items(&self, name: &str) -> &[Tree] {
        match self.get(name) {
            Some(Tree::List(items)) => items,
            _ => &[],
        }
    }

    /// The members of an object; none for anything else.
    pub fn members(&self) -> &[(String, Tree)] {
        match self {
            Tree::Map(members) => members,
            _ => &[],
        }
    }

    /// The same object without the members that say nothing.
    pub(super) fn without_nulls(&self) -> Tree {
        Tree::Map(
            self.members()
                .iter()
                .filter(|(_, value)| *value != Tree::Null)
                .cloned()
                .collect(),
        )
    }

    /// The members `names`, in that order, as an object of their own.
    pub(super) fn only(&self, names: &[&str]) -> Tree {
        Tree::Map(
            names
                .iter()
                .filter_map(|name| Some(((*name).to_owned(), self.get(name)?.clone())))
                .collect(),
        )
    }
}

impl From<&str> for Tree {
    fn from(text: &str) -> Self {
        Tree::Text(text.to_owned())
    }
}
impl From<i64> for Tree {
    fn from(number: i64) -> Self {
        Tree::Int(number)
    }
}
impl From<bool> for Tree {
    fn from(flag: bool) -> Self {
        Tree::Bool(flag)
    }
}
