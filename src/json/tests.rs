use proptest::prelude::*;

use super::*;

fn nested(depth: usize) -> String {
    format!(
        "{{\"a\":{}1{}}}",
        "[".repeat(depth - 1),
        "]".repeat(depth - 1)
    )
}

#[test]
fn what_is_no_object_is_malformed_and_says_why() {
    use Malformed::{DuplicateMember, NotAnObject, NotJson, NotUtf8, TooDeep, TrailingBytes};
    type Is = fn(&Malformed) -> bool;
    let rows: Vec<(&[u8], Is)> = vec![
        (b"{\"a\":\"\xff\"}", |it| matches!(it, NotUtf8 { byte: 6 })),
        (b"\xef\xbb\xbf{}", |it| matches!(it, NotJson { .. })),
        (b"", |it| matches!(it, NotJson { .. })),
        (b"{", |it| matches!(it, NotJson { .. })),
        (b"{\"a\":1,}", |it| matches!(it, NotJson { line: 1, .. })),
        (b"{'a':1}", |it| matches!(it, NotJson { .. })),
        (b"{\"a\":01}", |it| matches!(it, NotJson { .. })),
        (b"{\"a\":NaN}", |it| matches!(it, NotJson { .. })),
        (b"{\"a\":1e999}", |it| matches!(it, NotJson { .. })),
        (b"{\"a\":\"\\ud800\"}", |it| matches!(it, NotJson { .. })),
        (b"{\"a\":\"\n\"}", |it| matches!(it, NotJson { .. })),
        (b"{\"a\":1,\"a\":1}", |it| {
            matches!(it, DuplicateMember { .. })
        }),
        (b"{\"a\":1,\"\\u0061\":2}", |it| {
            matches!(it, DuplicateMember { .. })
        }),
        (b"{\"x\":[{\"a\":1,\"a\":1}]}", |it| {
            matches!(it, DuplicateMember { .. })
        }),
        (b"{} {}", |it| matches!(it, TrailingBytes { .. })),
        (b"{}x", |it| matches!(it, TrailingBytes { .. })),
        (b"[]", |it| *it == NotAnObject),
        (b"null", |it| *it == NotAnObject),
        (b"\"{}\"", |it| *it == NotAnObject),
    ];
    for (bytes, is) in rows {
        let fault = parse(bytes).expect_err("malformed");
        assert!(
            is(&fault),
            "{fault:?} of {:?}",
            String::from_utf8_lossy(bytes)
        );
        assert!(!fault.to_string().is_empty());
    }
    assert!(parse(nested(DEPTH).as_bytes()).is_ok());
    assert!(matches!(
        parse(nested(DEPTH + 1).as_bytes()),
        Err(TooDeep { .. })
    ));
    // far beyond any recursion that a stack would bear
    assert!(matches!(
        parse("[".repeat(1_000_000).as_bytes()),
        Err(TooDeep { .. })
    ));
}

#[test]
fn numbers_keep_their_kind() {
    let tree = parse(br#"{"a":-0,"b":0.0}"#).unwrap();
    assert_eq!(tree.int("a"), Some(0));
    assert!(matches!(tree.get("b"), Some(Tree::Number(_))));
    let text = br#" {"a":-5,"b":9223372036854775807,"c":9223372036854775808,"d":1.0,"e":1e3} "#;
    let tree = parse(text).unwrap();
    assert_eq!(tree.int("a"), Some(-5));
    assert_eq!(tree.int("b"), Some(i64::MAX));
    for name in ["c", "d", "e"] {
        assert!(matches!(tree.get(name), Some(Tree::Number(_))), "{name}");
    }
}

#[test]
fn a_fingerprint_is_of_the_value() {
    let print = |text: &str| fingerprint(&parse(text.as_bytes()).unwrap());
    let one = print(r#"{"a":1,"b":{"c":[1,2],"d":"x"}}"#);
    assert_eq!(one, print(r#"{ "b" : {"d":"\u0078","c":[1, 2]}, "a": 1 }"#));
    for other in [
        r#"{"a":1,"b":{"c":[2,1],"d":"x"}}"#,
        r#"{"a":"1","b":{"c":[1,2],"d":"x"}}"#,
        r#"{"a":1,"b":{"c":[1,2],"d":"x"},"e":null}"#,
        r#"{"a":1.0,"b":{"c":[1,2],"d":"x"}}"#,
        r#"{"a":1,"b":{"c":[1],"d":"x"}}"#,
        "{}",
    ] {
        assert_ne!(one, print(other), "{other}");
    }
    assert_ne!(print(r#"{"a":[[],1]}"#), print(r#"{"a":[[1]]}"#));
}

fn any_tree() -> impl Strategy<Value = Tree> {
    let leaf = prop_oneof![
        Just(Tree::Null),
        any::<bool>().prop_map(Tree::Bool),
        any::<i64>().prop_map(Tree::Int),
        ".{0,8}".prop_map(Tree::Text),
    ];
    leaf.prop_recursive(5, 40, 5, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..5).prop_map(Tree::List),
            prop::collection::btree_map(".{0,5}", inner, 0..5)
                .prop_map(|members| Tree::Map(members.into_iter().collect())),
        ]
    })
}

fn reversed(it: &Tree) -> Tree {
    match it {
        Tree::List(items) => Tree::List(items.iter().map(reversed).collect()),
        Tree::Map(members) => Tree::Map(
            members
                .iter()
                .rev()
                .map(|(name, member)| (name.clone(), reversed(member)))
                .collect(),
        ),
        leaf => leaf.clone(),
    }
}

proptest! {
    #[test]
    fn a_tree_comes_back(member in any_tree()) {
        let whole = Tree::Map(vec![("a".into(), member)]);
        let text = value(&whole).to_string();
        prop_assert_eq!(parse(text.as_bytes()), Ok(whole.clone()));
        prop_assert_eq!(tree(&value(&whole)), whole.clone());
        prop_assert_eq!(fingerprint(&reversed(&whole)), fingerprint(&whole));
    }

    #[test]
    fn any_bytes_are_answered(bytes in prop::collection::vec(any::<u8>(), 0..64)) {
        let _ = parse(&bytes);
    }

    #[test]
    fn anything_like_json_is_answered(text in "[{}\\[\\]\",:a0-9.e\\\\ -]{0,40}") {
        if let Ok(found) = parse(text.as_bytes()) {
            let again = parse(value(&found).to_string().as_bytes());
            prop_assert!(again.is_ok());
        }
    }
}
