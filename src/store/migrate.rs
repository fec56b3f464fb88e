//! The schema, brought up to date from what is inside the binary.

use diesel::backend::Backend as DieselBackend;
use diesel::connection::SimpleConnection;
use diesel::migration::{MigrationSource, MigrationVersion};
use diesel::pg::Pg as PgBackend;
use diesel::prelude::*;
use diesel::sql_types::Text;
use diesel_migrations::{EmbeddedMigrations, MigrationHarness, embed_migrations};

use super::pgw::PgW;
use super::pool::blocking;
use super::{Backend, Conn, Store, StoreError, lite};

const LITE: EmbeddedMigrations = embed_migrations!("migrations/sqlite");
const PG: EmbeddedMigrations = embed_migrations!("migrations/postgres");

/// Keeps two processes from migrating one PostgreSQL at once. It belongs to a transaction, not to a
/// session, which behind a pooler is somebody else's next.
pub(super) const LOCK: &str = "SELECT pg_advisory_xact_lock(7237138)";

/// From what to what the schema was brought.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Migrated {
    /// The version that was found; `None` for an empty database.
    pub from: Option<String>,
    /// The version that is there now.
    pub to: String,
}

impl std::fmt::Display for Migrated {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match &self.from {
            Some(from) if *from == self.to => write!(f, "the schema is up to date ({})", self.to),
            Some(from) => write!(f, "brought the schema from {from} to {}", self.to),
            None => write!(f, "made the schema {}", self.to),
        }
    }
}

impl Store {
    /// Brings the schema of an empty database up to date; one that has a schema is left as it is.
    pub async fn migrate_if_empty(&self) -> Result<(), StoreError> {
        let empty = self
            .with_connection(|conn| match conn {
                Conn::Lite(conn) => is_empty(conn),
                Conn::Pg(conn) => applied(conn).map(|it| it.is_none_or(|it| it.is_empty())),
            })
            .await?;
        if empty {
            self.migrate().await?;
        }
        Ok(())
    }

    /// Brings the schema up to date. Safe to call at each start.
    pub async fn migrate(&self) -> Result<Migrated, StoreError> {
        self.with_connection(|conn| match conn {
            // its writer's lock keeps others out
            Conn::Lite(conn) => conn
                .immediate_transaction(|conn| bring(conn, LITE).map_err(Undone))
                .map_err(|Undone(error)| error),
            Conn::Pg(conn) => {
                // who finds it up to date waits for nobody
                if let Some(newest) = up_to_date(conn)? {
                    return Ok(Migrated {
                        from: Some(newest.clone()),
                        to: newest,
                    });
                }
                // Diesel's migrations count on its own nesting; the connection is theirs alone
                #[allow(clippy::disallowed_methods)]
                let migrated = conn.transaction(|conn| {
                    conn.batch_execute(LOCK)?;
                    bring(conn, PG).map_err(Undone)
                });
                migrated.map_err(|Undone(error)| error)
            }
        })
        .await
    }

    /// Whether the schema is the one that this binary knows.
    pub async fn is_migrated(&self) -> Result<bool, StoreError> {
        self.with_connection(|conn| match conn {
            Conn::Lite(conn) => pending(conn, LITE).map(|it| !it),
            Conn::Pg(conn) => up_to_date(conn).map(|it| it.is_some()),
        })
        .await
    }

    async fn with_connection<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut Conn) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        let store = self.clone();
        blocking(move || {
            let mut conn = match &store.0.backend {
                Backend::Lite(it) => Conn::Lite(
                    lite::connect(&it.file).map_err(|it| StoreError::Fatal(it.to_string()))?,
                ),
                Backend::Pg(pg) => pg.pool.fresh()?,
            };
            work(&mut conn)
        })
        .await
    }
}

/// Why no migration was kept: all of them are one transaction.
struct Undone(StoreError);

impl From<diesel::result::Error> for Undone {
    fn from(error: diesel::result::Error) -> Self {
        Self(failed(&error))
    }
}

#[derive(QueryableByName)]
struct Applied {
    #[diesel(sql_type = Text)]
    version: String,
}

/// What was applied; `None` where nothing ever was. Only reads, as a role may that is not allowed to
/// create anything, and at any time; Diesel's own question makes its table first.
fn applied(conn: &mut PgW) -> Result<Option<Vec<Applied>>, StoreError> {
    let applied = diesel::sql_query("SELECT version FROM __diesel_schema_migrations").load(conn);
    match applied {
        Ok(applied) => Ok(Some(applied)),
        // there is no such table
        Err(diesel::result::Error::DatabaseError(..)) => Ok(None),
        Err(error) => Err(failed(&error)),
    }
}

/// The newest version, where nothing is left to be applied.
fn up_to_date(conn: &mut PgW) -> Result<Option<String>, StoreError> {
    let Some(applied) = applied(conn)? else {
        return Ok(None);
    };
    let known = MigrationSource::<PgBackend>::migrations(&PG).map_err(|it| failed(&it))?;
    let is_applied = |version: &str| applied.iter().any(|it| it.version == version);
    let all = known
        .iter()
        .all(|it| is_applied(&it.name().version().to_string()));
    let newest = applied.iter().map(|it| &it.version).max();
    Ok(newest.filter(|_| all).cloned())
}

fn failed(error: &dyn std::fmt::Display) -> StoreError {
    StoreError::Fatal(format!("the schema cannot be migrated: {error}"))
}

fn bring<DB: DieselBackend>(
    conn: &mut impl MigrationHarness<DB>,
    source: EmbeddedMigrations,
) -> Result<Migrated, StoreError> {
    let newest = |conn: &mut _| -> Result<Option<String>, StoreError> {
        let applied = MigrationHarness::<DB>::applied_migrations(conn).map_err(|it| failed(&it))?;
        Ok(applied.iter().map(MigrationVersion::to_string).max())
    };
    let from = newest(conn)?;
    conn.run_pending_migrations(source)
        .map_err(|it| failed(&it))?;
    let to = newest(conn)?.unwrap_or_default();
    Ok(Migrated { from, to })
}

fn is_empty<DB: DieselBackend>(conn: &mut impl MigrationHarness<DB>) -> Result<bool, StoreError> {
    let applied = conn.applied_migrations().map_err(|it| failed(&it))?;
    Ok(applied.is_empty())
}

fn pending<DB: DieselBackend>(
    conn: &mut impl MigrationHarness<DB>,
    source: EmbeddedMigrations,
) -> Result<bool, StoreError> {
    conn.has_pending_migration(source).map_err(|it| failed(&it))
}
