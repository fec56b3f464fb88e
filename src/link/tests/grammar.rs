use std::collections::HashSet;

use crate::link::grammar::{self, Kind, Member};
use crate::link::{Channel, Closing, Exit, LineKind, OnDuplicate, UseCase};

fn member(members: &'static [Member], name: &str) -> &'static Member {
    members.iter().find(|it| it.name == name).expect(name)
}

fn words(members: &'static [Member], name: &str) -> Vec<&'static str> {
    match member(members, name).kind {
        Kind::Word(words) => words.to_vec(),
        _ => panic!("{name} is a word"),
    }
}

/// The words of the grammar are those of the nouns, in the same order.
#[test]
fn words_are_those_of_the_nouns() {
    fn of<T: Copy>(all: &[T], word: fn(T) -> &'static str) -> Vec<&'static str> {
        all.iter().map(|it| word(*it)).collect()
    }
    assert_eq!(
        words(grammar::LINE, "type"),
        of(LineKind::ALL, LineKind::as_str)
    );
    assert_eq!(
        words(grammar::CREATE, "use_case"),
        of(UseCase::ALL, UseCase::as_str)
    );
    assert_eq!(
        words(grammar::CREATE, "on_duplicate"),
        of(OnDuplicate::ALL, OnDuplicate::as_str)
    );
    assert_eq!(words(grammar::PAGE, "exit"), of(Exit::ALL, Exit::as_str));
    assert_eq!(
        words(grammar::DELIVER, "channel"),
        of(Channel::ALL, Channel::as_str)
    );
    for reason in words(grammar::DISABLE, "reason") {
        assert!(Closing::from_word(reason).is_some(), "{reason}");
    }
}

#[test]
fn names_occur_once_and_extras_are_members() {
    fn check(members: &'static [Member]) {
        let mut seen = HashSet::new();
        for member in members {
            assert!(seen.insert(member.name), "{} twice", member.name);
            kind(&member.kind);
        }
    }
    fn kind(it: &'static Kind) {
        match it {
            Kind::Map(members) => check(members),
            Kind::List { of, min, max } => {
                assert!(min <= max);
                kind(of);
            }
            Kind::Text { min, max, .. } => assert!(min <= max),
            Kind::Int { min, max } => assert!(min <= max),
            Kind::Word(words) => assert!(!words.is_empty()),
            Kind::Flag | Kind::Pairs { .. } | Kind::Managed | Kind::ReadOnly => {}
        }
    }
    for members in [
        grammar::CREATE,
        grammar::RENEW,
        grammar::DELIVER,
        grammar::DISABLE,
    ] {
        check(members);
    }
    for name in grammar::LINE_EXTRAS {
        member(grammar::LINE, name);
    }
    for name in grammar::SALE_EXTRAS {
        member(grammar::SALE, name);
    }
}
