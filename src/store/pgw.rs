//! PostgreSQL for Diesel's synchronous side without libpq: a newtype over diesel-async's blocking
//! wrapper that also fits `#[derive(MultiConnection)]`. (libpq needs OpenSSL's headers, or perl,
//! make and minutes of building.) Nothing here decides anything; every method hands on.

use std::any::Any;

use diesel::connection::{
    CacheSize, Connection, ConnectionSealed, Instrumentation, LoadConnection,
    MultiConnectionHelper, SimpleConnection, TransactionManager, TransactionManagerStatus,
};
use diesel::expression::QueryMetadata;
use diesel::migration::MigrationConnection;
use diesel::pg::{Pg, PgMetadataLookup, PgTypeMetadata};
use diesel::query_builder::{Query, QueryFragment, QueryId};
use diesel::{ConnectionResult, QueryResult};
use diesel_async::AsyncPgConnection;
use diesel_async::async_connection_wrapper::AsyncConnectionWrapper;

type Wrapped = AsyncConnectionWrapper<AsyncPgConnection>;
type WrappedManager = <Wrapped as Connection>::TransactionManager;

pub(super) struct PgW(pub Wrapped);

/// Diesel's transactions, for migrations only: the door says BEGIN and COMMIT itself.
pub(super) struct Manager;

impl SimpleConnection for PgW {
    fn batch_execute(&mut self, query: &str) -> QueryResult<()> {
        self.0.batch_execute(query)
    }
}

impl ConnectionSealed for PgW {}

impl Connection for PgW {
    type Backend = Pg;
    type TransactionManager = Manager;

    /// Without TLS, and so never called: [`super::pg`] connects.
    fn establish(url: &str) -> ConnectionResult<Self> {
        Wrapped::establish(url).map(Self)
    }

    fn execute_returning_count<T>(&mut self, source: &T) -> QueryResult<usize>
    where
        T: QueryFragment<Pg> + QueryId,
    {
        self.0.execute_returning_count(source)
    }

    fn transaction_state(
        &mut self,
    ) -> &mut <Manager as TransactionManager<Self>>::TransactionStateData {
        self.0.transaction_state()
    }

    fn instrumentation(&mut self) -> &mut dyn Instrumentation {
        Connection::instrumentation(&mut self.0)
    }

    fn set_instrumentation(&mut self, instrumentation: impl Instrumentation) {
        Connection::set_instrumentation(&mut self.0, instrumentation);
    }

    fn set_prepared_statement_cache_size(&mut self, size: CacheSize) {
        Connection::set_prepared_statement_cache_size(&mut self.0, size);
    }
}

impl LoadConnection for PgW {
    type Cursor<'conn, 'query> = <Wrapped as LoadConnection>::Cursor<'conn, 'query>;
    type Row<'conn, 'query> = <Wrapped as LoadConnection>::Row<'conn, 'query>;

    fn load<'conn, 'query, T>(
        &'conn mut self,
        source: T,
    ) -> QueryResult<Self::Cursor<'conn, 'query>>
    where
        T: Query + QueryFragment<Pg> + QueryId + 'query,
        Pg: QueryMetadata<T::SqlType>,
    {
        LoadConnection::load(&mut self.0, source)
    }
}

impl TransactionManager<PgW> for Manager {
    type TransactionStateData =
        <WrappedManager as TransactionManager<Wrapped>>::TransactionStateData;

    fn begin_transaction(conn: &mut PgW) -> QueryResult<()> {
        <WrappedManager as TransactionManager<Wrapped>>::begin_transaction(&mut conn.0)
    }

    fn rollback_transaction(conn: &mut PgW) -> QueryResult<()> {
        <WrappedManager as TransactionManager<Wrapped>>::rollback_transaction(&mut conn.0)
    }

    fn commit_transaction(conn: &mut PgW) -> QueryResult<()> {
        <WrappedManager as TransactionManager<Wrapped>>::commit_transaction(&mut conn.0)
    }

    fn transaction_manager_status_mut(conn: &mut PgW) -> &mut TransactionManagerStatus {
        <WrappedManager as TransactionManager<Wrapped>>::transaction_manager_status_mut(&mut conn.0)
    }
}

/// Only built-in types are used, so no type is ever looked up by name; a zero leaves the type to
/// PostgreSQL.
struct BuiltIn;

impl PgMetadataLookup for BuiltIn {
    fn lookup_type(&mut self, _name: &str, _schema: Option<&str>) -> PgTypeMetadata {
        PgTypeMetadata::new(0, 0)
    }
}

impl MultiConnectionHelper for PgW {
    fn to_any<'a, 'b>(_lookup: &'b mut (dyn PgMetadataLookup + 'static)) -> &'b mut (dyn Any + 'a) {
        // the type has no size: nothing is allocated, nothing leaks
        Box::leak(Box::new(BuiltIn))
    }

    fn from_any<'b>(
        lookup: &'b mut (dyn Any + 'static),
    ) -> Option<&'b mut (dyn PgMetadataLookup + 'static)> {
        lookup.downcast_mut::<BuiltIn>().map(|it| it as _)
    }
}

impl MigrationConnection for PgW {
    fn setup(&mut self) -> QueryResult<usize> {
        MigrationConnection::setup(&mut self.0)
    }
}
