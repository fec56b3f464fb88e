//! Laws that hold for every world at its end, whatever its stories were about.

use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use super::sale::PERSONAL;

/// No personal data in what was answered or logged.
pub fn nothing_personal(what: &str, text: &str) {
    // the example that descriptions and faults show is nobody's number
    let text = &text.replace("+447700900123", "");
    for secret in PERSONAL {
        for (at, _) in text.match_indices(secret) {
            assert!(
                is_in_an_id(text, at),
                "{what} shows `{secret}`: {}",
                around(text, at)
            );
        }
    }
    for (at, _) in text.match_indices("@example.com") {
        // jo@example.com is what descriptions and faults show as an example
        let masked = text[..at].ends_with("***")
            || text[..at].ends_with(" jo")
            || text[..at].ends_with("\"jo");
        assert!(
            masked,
            "{what} shows an e-mail address: {}",
            around(text, at)
        );
    }
}

/// Whether this is a part of an id such as `dlv_01a2…`: among many thousands of random ids, the
/// digits of a telephone number come up.
fn is_in_an_id(text: &str, at: usize) -> bool {
    let outside = |byte: &u8| !byte.is_ascii_alphanumeric() && *byte != b'_';
    let (before, after) = text.as_bytes().split_at(at);
    let from = before.iter().rposition(&outside).map_or(0, |it| it + 1);
    let to = at + after.iter().position(outside).unwrap_or(after.len());
    let digits = text[from..to].split_once('_').map(|(_, digits)| digits);
    digits.is_some_and(|it| it.len() == 32 && it.bytes().all(|byte| byte.is_ascii_hexdigit()))
}

#[test]
fn a_number_in_an_id_is_nobodys() {
    let is_personal = |text: &str| {
        let at = text.find("7700900").expect("it is in there");
        !is_in_an_id(text, at)
    };
    assert!(!is_personal(
        "delivery=dlv_01a20e536afb7700900b427149bd1335 to=+44***516"
    ));
    assert!(!is_personal("dlv_01a20e536afb7700900b427149bd1335"));
    assert!(is_personal(
        "to=+447700900516 dlv_01a20e536afb7200900b427149bd1335"
    ));
    assert!(is_personal("tel_7700900516"));
    assert!(is_personal("7700900516"));
}

fn around(text: &str, at: usize) -> String {
    let start = text[..at]
        .char_indices()
        .rev()
        .nth(120)
        .map_or(0, |(index, _)| index);
    text[start..].chars().take(300).collect()
}

/// Every request that Klarna got fits Klarna's own descriptions.
pub fn klarnas_specs(log: &[Value]) {
    let Some(folder) = specs() else {
        eprintln!("skipped: Klarna's specs are not there");
        return;
    };
    let checkout = Spec::read(&folder.join("kustom-checkout-api-openapi.json"));
    let page = Spec::read(&folder.join("hosted-payment-page-api-openapi.json"));
    let orders = Spec::read(&folder.join("order-management-api-openapi.json"));
    for entry in log {
        let (method, path) = (
            entry["method"].as_str().unwrap_or_default(),
            entry["path"].as_str().unwrap_or_default(),
        );
        let spec = match path {
            path if path.starts_with("/checkout/") => &checkout,
            path if path.starts_with("/hpp/") => &page,
            path if path.starts_with("/ordermanagement/") => &orders,
            _ => panic!("Klarna has no {path}"),
        };
        spec.check(method, path, &entry["body"]);
    }
}

fn specs() -> Option<PathBuf> {
    let beside = PathBuf::from(concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../shared/klarna-specs"
    ));
    let folder = std::env::var_os("PAYLINK_KLARNA_SPECS").map_or(beside, PathBuf::from);
    folder.is_dir().then_some(folder)
}

/// Order Management's description lists some words as one, `physical|discount|…`, where a pattern
/// is meant.
fn without_slips(schema: &mut Value) {
    match schema {
        Value::Object(members) => {
            let piped = members
                .get("enum")
                .and_then(Value::as_array)
                .is_some_and(|words| {
                    words
                        .iter()
                        .any(|word| word.as_str().is_some_and(|it| it.contains('|')))
                });
            if piped {
                members.remove("enum");
            }
            members.values_mut().for_each(without_slips);
        }
        Value::Array(items) => items.iter_mut().for_each(without_slips),
        _ => {}
    }
}

struct Spec(Value);

impl Spec {
    fn read(file: &Path) -> Self {
        let text = std::fs::read_to_string(file)
            .unwrap_or_else(|error| panic!("{}: {error}", file.display()));
        Self(serde_json::from_str(&text).expect("a spec is JSON"))
    }

    fn check(&self, method: &str, path: &str, body: &Value) {
        let paths = self.0["paths"].as_object().expect("paths");
        let fits = |template: &str| {
            let (template, path): (Vec<_>, Vec<_>) =
                (template.split('/').collect(), path.split('/').collect());
            template.len() == path.len()
                && template
                    .iter()
                    .zip(&path)
                    .all(|(a, b)| a.starts_with('{') || a == b)
        };
        let (template, operations) = paths
            .iter()
            .find(|(template, _)| fits(template))
            .unwrap_or_else(|| panic!("Klarna's specs have no {path}"));
        let operation = &operations[method.to_lowercase()];
        assert!(
            operation.is_object(),
            "Klarna's specs have no {method} {template}"
        );
        let Some(schema) = self.body_schema(&operation["requestBody"]) else {
            assert!(
                body.is_null() || *body == json!(""),
                "{method} {path} takes no body, got {body}"
            );
            return;
        };
        let mut schema = json!({"allOf": [schema], "components": self.0["components"]});
        without_slips(&mut schema);
        let validator = jsonschema::validator_for(&schema).expect("Klarna's schema can be read");
        let faults: Vec<_> = validator
            .iter_errors(body)
            .map(|fault| format!("{} {fault}", fault.instance_path()))
            .collect();
        assert!(
            faults.is_empty(),
            "{method} {path}: {faults:#?} in {body:#}"
        );
    }

    fn body_schema(&self, body: &Value) -> Option<Value> {
        let body = match body["$ref"].as_str() {
            Some(reference) => self.0.pointer(reference.strip_prefix('#')?)?,
            None => body,
        };
        body["content"]
            .as_object()?
            .values()
            .next()
            .map(|media| media["schema"].clone())
    }
}
