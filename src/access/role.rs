//! The table of roles (`contract.md`, Roles), as one match that has every cell.

/// What a key or a user is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[allow(missing_docs)]
pub enum Role {
    Agent,
    Supervisor,
    /// CRMs and shops.
    Integrator,
    /// A device at a counter.
    Tablet,
    Auditor,
    Admin,
}

/// What one may want to do; a row of the table, or a part of one where two roles differ in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Verb {
    /// Create, send, disable, renew, refresh.
    Create,
    /// Read a link, its QR, its events, the stream.
    Read,
    /// List and search: what a tablet may not.
    List,
    /// See personal data in full; leaves an audit row.
    Reveal,
    /// Take lists and events away as CSV or JSON lines.
    Export,
    /// Capture, refund, cancel, release, extend.
    Money,
    /// Webhook endpoints, inbound sources' requests, batches: change.
    Integrate,
    /// The same: look at.
    IntegrateRead,
    /// Keys, users, tablets, sources.
    Administer,
}

/// How far a verb carries a role.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Reach {
    /// The role lacks it.
    Nothing,
    /// What it created itself.
    Own,
    /// What is in its store.
    Store,
    /// Everything.
    All,
}

impl Role {
    /// Every role, in the order of the table.
    pub const ALL: &'static [Role] = &[
        Role::Agent,
        Role::Supervisor,
        Role::Integrator,
        Role::Tablet,
        Role::Auditor,
        Role::Admin,
    ];

    /// The word in commands, answers and rows.
    pub fn as_str(self) -> &'static str {
        match self {
            Role::Agent => "agent",
            Role::Supervisor => "supervisor",
            Role::Integrator => "integrator",
            Role::Tablet => "tablet",
            Role::Auditor => "auditor",
            Role::Admin => "admin",
        }
    }

    /// The meaning of a word, where it is one of ours.
    pub fn from_word(word: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|role| role.as_str() == word)
    }

    /// The table. No arm is a wild card over both sides, so a new role or verb does not compile
    /// until somebody has decided about it.
    pub fn reach(self, verb: Verb) -> Reach {
        match (self, verb) {
            (
                Role::Admin,
                Verb::Create
                | Verb::Read
                | Verb::List
                | Verb::Reveal
                | Verb::Export
                | Verb::Money
                | Verb::Integrate
                | Verb::IntegrateRead
                | Verb::Administer,
            ) => Reach::All,

            (
                Role::Integrator,
                Verb::Create
                | Verb::Read
                | Verb::List
                | Verb::Reveal
                | Verb::Export
                | Verb::Money
                | Verb::Integrate
                | Verb::IntegrateRead,
            )
            | (
                Role::Supervisor,
                Verb::Create | Verb::Read | Verb::List | Verb::Reveal | Verb::Export | Verb::Money,
            )
            | (Role::Agent, Verb::Create | Verb::Read | Verb::List | Verb::Reveal)
            | (Role::Auditor, Verb::Read | Verb::List | Verb::Export | Verb::IntegrateRead) => {
                Reach::Store
            }

            (Role::Tablet, Verb::Create | Verb::Read) => Reach::Own,

            (Role::Integrator, Verb::Administer)
            | (Role::Supervisor, Verb::Integrate | Verb::IntegrateRead | Verb::Administer)
            | (
                Role::Agent,
                Verb::Export
                | Verb::Money
                | Verb::Integrate
                | Verb::IntegrateRead
                | Verb::Administer,
            )
            | (
                Role::Auditor,
                Verb::Create | Verb::Reveal | Verb::Money | Verb::Integrate | Verb::Administer,
            )
            | (
                Role::Tablet,
                Verb::List
                | Verb::Reveal
                | Verb::Export
                | Verb::Money
                | Verb::Integrate
                | Verb::IntegrateRead
                | Verb::Administer,
            ) => Reach::Nothing,
        }
    }
}

impl Verb {
    /// Every verb.
    pub const ALL: &'static [Verb] = &[
        Verb::Create,
        Verb::Read,
        Verb::List,
        Verb::Reveal,
        Verb::Export,
        Verb::Money,
        Verb::Integrate,
        Verb::IntegrateRead,
        Verb::Administer,
    ];
}
