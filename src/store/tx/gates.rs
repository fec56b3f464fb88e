//! Table `gate`: what processes share that stand before one outside. A bucket's tokens, a breaker's
//! turns; all by the database's clock.

use std::time::Duration;

use diesel::prelude::*;
use diesel::sql_types::{BigInt, Nullable, Text};

use super::super::claim::DATABASE_NOW;
use super::super::rows;
use super::super::{StoreError, Tx};

/// A bucket holds at most the tokens of one second.
const FULL: i64 = 1_000_000;

/// What a bucket gave.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Granted {
    /// So many, at most what was asked for.
    pub tokens: u32,
    /// How long until there is one more; zero where there is.
    pub wait: Duration,
}

/// How a breaker stands, as its last turn left it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Turn {
    /// Which.
    pub name: &'static str,
    /// Counts its turns.
    pub number: i64,
    /// How long it stays open, and how long it was opened for. `None`: closed, or its time is over.
    pub open: Option<(Duration, Duration)>,
}

#[derive(QueryableByName)]
struct Level {
    #[diesel(sql_type = BigInt)]
    spent_at: i64,
    #[diesel(sql_type = BigInt)]
    now: i64,
}

#[derive(QueryableByName)]
struct Number {
    #[diesel(sql_type = BigInt)]
    turn: i64,
}

#[derive(QueryableByName)]
struct TurnRow {
    #[diesel(sql_type = Text)]
    name: String,
    #[diesel(sql_type = BigInt)]
    turn: i64,
    #[diesel(sql_type = Nullable<BigInt>)]
    left: Option<i64>,
    #[diesel(sql_type = Nullable<BigInt>)]
    wait: Option<i64>,
}

impl Tx<'_> {
    /// Now, in words of SQL: the database's clock where processes share it.
    fn sql_now(&self) -> String {
        if self.is_shared() {
            DATABASE_NOW.into()
        } else {
            rows::micros(self.shared.clock.now()).to_string()
        }
    }

    /// Takes up to `want` tokens out of a bucket that fills with `rate` a second.
    pub fn take_tokens(
        &mut self,
        name: &'static str,
        rate: u32,
        want: u32,
    ) -> Result<Granted, StoreError> {
        let now = self.sql_now();
        let lock = if self.is_shared() { " FOR UPDATE" } else { "" };
        let select = format!(
            "SELECT spent_at, CAST({now} AS bigint) AS now FROM gate WHERE name = $1{lock}"
        );
        let read = |tx: &mut Self| {
            tx.sql(|conn| {
                diesel::sql_query(&select)
                    .bind::<Text, _>(name)
                    .get_result::<Level>(conn)
                    .optional()
            })
        };
        let level = if let Some(level) = read(self)? {
            level
        } else {
            self.sql(|conn| {
                diesel::sql_query(
                    "INSERT INTO gate (name, spent_at, turn) VALUES ($1, 0, 0) ON CONFLICT (name) DO NOTHING",
                )
                .bind::<Text, _>(name)
                .execute(conn)
            })?;
            read(self)?.ok_or_else(|| StoreError::Fatal("a gate has no row".into()))?
        };
        let cost = (FULL / i64::from(rate.max(1))).max(1);
        // what is spent beyond now was spent by a clock that was set back since
        let from = level.spent_at.min(level.now).max(level.now - FULL);
        let there = (level.now - from) / cost;
        let tokens = u32::try_from(there).unwrap_or(0).min(want);
        let spent = from + cost * i64::from(tokens);
        self.sql(|conn| {
            // SQLite counts binds in the order in which they stand
            diesel::sql_query("UPDATE gate SET spent_at = $1 WHERE name = $2")
                .bind::<BigInt, _>(spent)
                .bind::<Text, _>(name)
                .execute(conn)
        })?;
        let micros = u64::try_from(spent + cost - level.now).unwrap_or(0);
        Ok(Granted {
            tokens,
            wait: Duration::from_micros(micros),
        })
    }

    /// A breaker turned: it stays open for `left` of the `wait` that it was opened for, or closed.
    /// Answers the number of this turn.
    pub fn turn(
        &mut self,
        name: &'static str,
        open: Option<(Duration, Duration)>,
    ) -> Result<i64, StoreError> {
        let span = |it: Duration| i64::try_from(it.as_micros()).unwrap_or(i64::MAX / 2);
        let now = self.sql_now();
        let until = open.map_or("NULL".into(), |(left, _)| format!("{now} + {}", span(left)));
        let wait = open.map_or("NULL".into(), |(_, wait)| span(wait).to_string());
        let upsert = format!(
            "INSERT INTO gate (name, spent_at, turn, open_until, wait) VALUES ($1, 0, 1, {until}, {wait}) \
             ON CONFLICT (name) DO UPDATE SET turn = gate.turn + 1, \
             open_until = excluded.open_until, wait = excluded.wait RETURNING turn"
        );
        let number: Number = self.sql(|conn| {
            diesel::sql_query(upsert)
                .bind::<Text, _>(name)
                .get_result(conn)
        })?;
        Ok(number.turn)
    }

    /// How these breakers stand; those that never turned are left out.
    pub fn turns(&mut self, names: &'static [&'static str]) -> Result<Vec<Turn>, StoreError> {
        let words: Vec<_> = names.iter().map(|it| format!("'{it}'")).collect();
        let select = format!(
            "SELECT name, turn, open_until - {} AS \"left\", wait FROM gate WHERE name IN ({})",
            self.sql_now(),
            words.join(", ")
        );
        let rows: Vec<TurnRow> = self.sql(|conn| diesel::sql_query(select).load(conn))?;
        let span = |it: i64| u64::try_from(it).ok().map(Duration::from_micros);
        Ok(rows
            .into_iter()
            .filter_map(|row| {
                Some(Turn {
                    name: names.iter().copied().find(|it| *it == row.name)?,
                    number: row.turn,
                    open: row.left.and_then(span).zip(row.wait.and_then(span)),
                })
            })
            .collect())
    }
}
