//! The two sets of migrations make one schema, and `Taken` knows each of its unique constraints.

use std::collections::{BTreeMap, BTreeSet};

use diesel::prelude::*;
use diesel::sql_types::{Bool, Text};

use super::*;
use crate::store::error::UNIQUE;

#[derive(QueryableByName, PartialEq, Eq, PartialOrd, Ord, Debug)]
struct Column {
    #[diesel(sql_type = Text)]
    table: String,
    #[diesel(sql_type = Text)]
    name: String,
    #[diesel(sql_type = Text)]
    kind: String,
    #[diesel(sql_type = Bool)]
    required: bool,
}

#[derive(QueryableByName)]
struct Unique {
    #[diesel(sql_type = Text)]
    table: String,
    #[diesel(sql_type = Text)]
    columns: String,
}

const LITE_COLUMNS: &str = "SELECT m.name AS \"table\", c.name, CASE c.type WHEN 'INTEGER' THEN 'bigint' \
     WHEN 'BLOB' THEN 'bytea' ELSE lower(c.type) END AS kind, c.\"notnull\" = 1 AS required \
     FROM sqlite_schema AS m JOIN pragma_table_info(m.name) AS c \
     WHERE m.type = 'table' AND m.name NOT LIKE 'sqlite_%' AND m.name NOT LIKE '\\_\\_%' ESCAPE '\\'";
const LITE_UNIQUE: &str = "SELECT \"table\", group_concat(name, ',') AS columns FROM (\
     SELECT m.name AS \"table\", i.name AS i, c.name FROM sqlite_schema AS m \
     JOIN pragma_index_list(m.name) AS i JOIN pragma_index_info(i.name) AS c \
     WHERE m.type = 'table' AND m.name NOT LIKE '\\_\\_%' ESCAPE '\\' AND i.\"unique\" \
     UNION ALL SELECT 'event', 'rowid', 'n') GROUP BY \"table\", i";
const PG_COLUMNS: &str = "SELECT table_name AS \"table\", column_name AS name, data_type AS kind, \
     is_nullable = 'NO' AS required FROM information_schema.columns \
     WHERE table_schema = current_schema() AND table_name NOT LIKE '\\_\\_%'";
const PG_UNIQUE: &str = "SELECT t.relname::text AS \"table\", string_agg(a.attname, ',' ORDER BY k.place) AS columns \
     FROM pg_index AS i JOIN pg_class AS t ON t.oid = i.indrelid \
     JOIN pg_namespace AS n ON n.oid = t.relnamespace AND n.nspname = current_schema() \
     CROSS JOIN unnest(i.indkey) WITH ORDINALITY AS k (attnum, place) \
     JOIN pg_attribute AS a ON a.attrelid = t.oid AND a.attnum = k.attnum \
     WHERE i.indisunique AND t.relname NOT LIKE '\\_\\_%' GROUP BY t.relname, i.indexrelid";

async fn columns(f: &Fixture) -> BTreeSet<Column> {
    let query = if f.store.is_shared() {
        PG_COLUMNS
    } else {
        LITE_COLUMNS
    };
    f.read(move |tx| tx.sql(|conn| diesel::sql_query(query).load(conn)))
        .await
        .into_iter()
        .collect()
}

async fn uniques(f: &Fixture) -> BTreeSet<(String, String)> {
    let query = if f.store.is_shared() {
        PG_UNIQUE
    } else {
        LITE_UNIQUE
    };
    f.read(move |tx| tx.sql(|conn| diesel::sql_query(query).load::<Unique>(conn)))
        .await
        .into_iter()
        .map(|it| (it.table, it.columns))
        .collect()
}

fn known() -> BTreeSet<(String, String)> {
    UNIQUE
        .iter()
        .map(|(_, table, columns, _)| ((*table).to_owned(), columns.join(",")))
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_two_schemas_are_one() {
    let (Some(postgres), lite) = (postgres().await, lite().await) else {
        return;
    };
    let (left, right) = (columns(&lite).await, columns(&postgres).await);
    let tables: BTreeMap<_, usize> = left.iter().fold(BTreeMap::new(), |mut all, it| {
        *all.entry(it.table.clone()).or_default() += 1;
        all
    });
    assert_eq!(tables.len(), 17, "{tables:?}");
    assert_eq!(
        left.symmetric_difference(&right).collect::<Vec<_>>(),
        Vec::<&Column>::new()
    );
}

on_both! {

async fn every_unique_constraint_has_a_name(f: &Fixture) {
    assert_eq!(uniques(f).await, known());
}

}

/// `keys create` beside the first start of `serve`.
#[tokio::test(flavor = "multi_thread")]
async fn many_processes_find_one_empty_file_and_one_makes_its_tables() {
    let dir = scratch();
    let database = Database {
        url: format!("sqlite://{}", dir.join("paylink.db").display()),
        connections: 1,
    };
    let processes = (0..8).map(|seed| {
        let (database, clock) = (database.clone(), Clock::manual(start()));
        tokio::spawn(async move {
            let random = Random::seeded(seed);
            let store = Store::open(&database, Holding::Beside, vault(), clock, random);
            let store = store.await.unwrap();
            if seed == 0 {
                store.migrate().await.map(drop)
            } else {
                store.migrate_if_empty().await
            }
        })
    });
    for migrated in futures_util::future::join_all(processes).await {
        assert_eq!(migrated.unwrap(), Ok(()));
    }
    std::fs::remove_dir_all(dir).unwrap();
}
