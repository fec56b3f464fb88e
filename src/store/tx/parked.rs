//! Jobs that panicked too often: kept for a person, who sees them and sends them on.

use diesel::prelude::*;
use diesel::sql_types::{BigInt, Text};
use jiff::Timestamp;

use super::super::rows::job::JobRow;
use super::super::rows::micros;
use super::super::{Job, StoreError, Tx};

/// A job that nobody claims any more.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Parked {
    /// Its name: kind and subject.
    pub id: String,
    /// What was to be done. Its date is that of the next try, had there been one.
    pub job: Job,
    /// How often it panicked in a row.
    pub tries: i64,
}

#[derive(QueryableByName)]
struct Count {
    #[diesel(sql_type = BigInt)]
    it: i64,
}

const LIST: &str = "SELECT id, kind, subject, link, due_at, attempt, tries, hinted FROM job \
     WHERE parked ORDER BY id";
const COUNT: &str = "SELECT count(*) AS it FROM job WHERE parked";
const UNPARK: &str = "UPDATE job SET parked = FALSE, tries = 0, due_at = $1, ready_at = $1, \
     again_at = NULL WHERE id = $2 AND parked";

impl Tx<'_> {
    /// All of them.
    pub fn parked_jobs(&mut self) -> Result<Vec<Parked>, StoreError> {
        let rows: Vec<JobRow> = self.sql(|conn| diesel::sql_query(LIST).load(conn))?;
        rows.iter()
            .map(|row| {
                Ok(Parked {
                    id: row.id.clone(),
                    job: row.try_into()?,
                    tries: row.tries,
                })
            })
            .collect()
    }

    /// How many there are.
    pub fn count_parked(&mut self) -> Result<i64, StoreError> {
        let count: Count = self.sql(|conn| diesel::sql_query(COUNT).get_result(conn))?;
        Ok(count.it)
    }

    /// Sends one on: it is due now and has all its tries again. `false`: none of this name is
    /// parked.
    pub fn unpark(&mut self, id: &str, now: Timestamp) -> Result<bool, StoreError> {
        let rows = self.sql(|conn| {
            diesel::sql_query(UNPARK)
                .bind::<BigInt, _>(micros(now))
                .bind::<Text, _>(id)
                .execute(conn)
        })?;
        Ok(rows == 1)
    }
}
