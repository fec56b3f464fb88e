//! The sentences of one language, from `email_templates/words/*.json`. A sentence has places like
//! `{amount}`; values are put in by one pass, so a value that looks like a place stays a value.

use std::collections::BTreeMap;

/// What a sentence may have a place for.
pub(super) const PLACES: [&str; 10] = [
    "amount",
    "full_name",
    "merchant",
    "name",
    "reference",
    "support",
    "tax",
    "until",
    "until_medium",
    "until_short",
];

/// Name of sentence → sentence with places.
#[derive(Clone, Debug, Default)]
pub(super) struct Words(BTreeMap<String, String>);

impl Words {
    /// The built-in words of a language. `None` for bytes that are no flat object of strings.
    pub(super) fn parse(json: &str) -> Result<Self, serde_json::Error> {
        serde_json::from_str(json).map(Self)
    }

    /// Takes the sentences of `other` over one's own. Answers what is wrong with them: a name that
    /// nobody asks for, or a place that does not exist.
    pub(super) fn replace(&mut self, other: Words) -> Vec<String> {
        let mut faults = Vec::new();
        for (name, sentence) in other.0 {
            match (self.0.get_mut(&name), stranger(&sentence)) {
                (None, _) => faults.push(format!("there is no sentence named {name:?}")),
                (_, Some(place)) => {
                    faults.push(format!("{name:?} has an unknown place {{{place}}}"));
                }
                (Some(mine), None) => *mine = sentence,
            }
        }
        faults
    }

    #[cfg(test)]
    pub(super) fn sentences(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(k, v)| (k.as_str(), v.as_str()))
    }

    /// The sentence `name` with the values put in; empty where there is no such sentence.
    pub(super) fn say(&self, name: &str, values: &BTreeMap<&str, String>) -> String {
        self.0
            .get(name)
            .map(|sentence| fill(sentence, values))
            .unwrap_or_default()
    }

    /// Every sentence with the values put in, for templates.
    pub(super) fn all(&self, values: &BTreeMap<&str, String>) -> BTreeMap<String, String> {
        self.0
            .iter()
            .map(|(name, sentence)| (name.clone(), fill(sentence, values)))
            .collect()
    }
}

/// The first place of a sentence that no value is known for.
pub(super) fn stranger(sentence: &str) -> Option<String> {
    let mut found = None;
    each_piece(sentence, |piece| {
        if let Piece::Place(place) = piece
            && found.is_none()
            && !PLACES.contains(&place)
        {
            found = Some(place.to_owned());
        }
    });
    found
}

fn fill(sentence: &str, values: &BTreeMap<&str, String>) -> String {
    let mut out = String::with_capacity(sentence.len() * 2);
    each_piece(sentence, |piece| match piece {
        Piece::Plain(text) => out.push_str(text),
        Piece::Place(place) => out.push_str(values.get(place).map_or("", String::as_str)),
    });
    out
}

enum Piece<'a> {
    Plain(&'a str),
    Place(&'a str),
}

fn each_piece<'a>(mut rest: &'a str, mut take: impl FnMut(Piece<'a>)) {
    while let Some((before, after)) = rest.split_once('{') {
        let Some((place, behind)) = after.split_once('}') else {
            break;
        };
        take(Piece::Plain(before));
        take(Piece::Place(place));
        rest = behind;
    }
    take(Piece::Plain(rest));
}
