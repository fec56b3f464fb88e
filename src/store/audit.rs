//! The audit log: append-only, and each entry's hash covers the one before it, so that a change or
//! a cut in the middle shows.

use diesel::prelude::*;
use jiff::Timestamp;
use sha2::{Digest, Sha256};

use super::rows::{Of, micros};
use super::schema::{audit, audit_head};
use super::{StoreError, Tx};
use crate::link::Actor;

/// One entry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuditRow {
    /// From 1 without gaps.
    pub number: i64,
    /// When it happened.
    pub at: Timestamp,
    /// Who did it.
    pub actor: Actor,
    /// What was done: `link.disabled`, `key.created`, `personal_data.revealed` …
    pub verb: String,
    /// To what: an id.
    pub subject: String,
    /// One line, without personal data.
    pub detail: String,
}

type Row = (i64, i64, String, String, String, String, Vec<u8>);

fn chain(before: &[u8], row: (i64, i64, &str, &str, &str, &str)) -> Vec<u8> {
    let (number, at, actor, verb, subject, detail) = row;
    let mut hash = Sha256::new();
    hash.update(before);
    hash.update(number.to_be_bytes());
    hash.update(at.to_be_bytes());
    for text in [actor, verb, subject, detail] {
        // the length goes first: words cannot be moved from one member to the next
        hash.update((text.len() as u64).to_be_bytes());
        hash.update(text);
    }
    hash.finalize().to_vec()
}

impl Tx<'_> {
    /// Appends an entry. Its row of the head is locked until the end of the transaction: say it
    /// last.
    pub fn audit(
        &mut self,
        actor: Actor,
        verb: &str,
        subject: &str,
        detail: &str,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        let (number, before): (i64, Vec<u8>) = self.sql(|conn| {
            diesel::update(audit_head::table.find(1))
                .set(audit_head::n.eq(audit_head::n + 1))
                .returning((audit_head::n, audit_head::hash))
                .get_result(conn)
        })?;
        let actor = actor.to_string();
        let at = micros(now);
        let hash = chain(&before, (number, at, &actor, verb, subject, detail));
        self.sql(|conn| {
            diesel::insert_into(audit::table)
                .values((
                    audit::n.eq(number),
                    audit::at.eq(at),
                    audit::actor.eq(&actor),
                    audit::verb.eq(verb),
                    audit::subject.eq(subject),
                    audit::detail.eq(detail),
                    audit::hash.eq(&hash),
                ))
                .execute(conn)?;
            diesel::update(audit_head::table.find(1))
                .set(audit_head::hash.eq(&hash))
                .execute(conn)
        })?;
        Ok(())
    }

    /// Entries after `number`, oldest first.
    pub fn audited(&mut self, number: i64, limit: u32) -> Result<Vec<AuditRow>, StoreError> {
        self.audit_rows(number, limit)?
            .into_iter()
            .map(|(number, at, actor, verb, subject, detail, _)| {
                let key = number.to_string();
                Ok(AuditRow {
                    number,
                    at: Of(&key).time("audit.at", at)?,
                    actor: Of(&key).id("audit.actor", &actor)?,
                    verb,
                    subject,
                    detail,
                })
            })
            .collect()
    }

    /// Recomputes the chain: `None` where it is whole, else the first entry that is not what was
    /// written, or that is missing.
    pub fn audit_break(&mut self) -> Result<Option<i64>, StoreError> {
        let (mut number, mut hash) = (0, vec![0; 32]);
        loop {
            let rows = self.audit_rows(number, 1000)?;
            if rows.is_empty() {
                break;
            }
            for (n, at, actor, verb, subject, detail, said) in rows {
                number += 1;
                hash = chain(&hash, (n, at, &actor, &verb, &subject, &detail));
                if n != number || said != hash {
                    return Ok(Some(number));
                }
            }
        }
        let head: (i64, Vec<u8>) = self.sql(|conn| {
            audit_head::table
                .find(1)
                .select((audit_head::n, audit_head::hash))
                .first(conn)
        })?;
        Ok((head != (number, hash)).then_some(number + 1))
    }

    fn audit_rows(&mut self, after: i64, limit: u32) -> Result<Vec<Row>, StoreError> {
        self.sql(|conn| {
            audit::table
                .filter(audit::n.gt(after))
                .order(audit::n)
                .limit(i64::from(limit))
                .load(conn)
        })
    }
}
