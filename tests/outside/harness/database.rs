//! The database of one world: a file, or a database of its own on the server of the tests.

#[derive(Clone)]
pub enum Database {
    Sqlite(String),
    Postgres {
        url: String,
        server: String,
        name: String,
    },
}

impl Database {
    pub async fn created(server: &str, name: &str) -> Self {
        order_postgres(server, &format!("CREATE DATABASE {name}")).await;
        // by hand: a URL of several hosts is none by the URL standard
        let (place, query) = server.split_once('?').unwrap_or((server, ""));
        let (hosts, _) = place
            .rsplit_once('/')
            .expect("the server's URL names a database");
        Self::Postgres {
            url: format!("{hosts}/{name}?{query}"),
            server: server.to_owned(),
            name: name.to_owned(),
        }
    }

    /// Also after a failure: the server outlives the tests.
    pub async fn is_dropped(&self) {
        if let Self::Postgres { server, name, .. } = self {
            order_postgres(server, &format!("DROP DATABASE {name} WITH (FORCE)")).await;
        }
    }

    pub fn url(&self) -> &str {
        match self {
            Self::Sqlite(url) | Self::Postgres { url, .. } => url,
        }
    }
}

pub async fn order_postgres(server: &str, statement: &str) {
    let (session, connection) = tokio_postgres::connect(server, tokio_postgres::NoTls)
        .await
        .expect("PostgreSQL");
    let carried = tokio::spawn(connection);
    session
        .batch_execute(statement)
        .await
        .unwrap_or_else(|error| panic!("{statement}: {error:?}"));
    drop(session);
    carried
        .await
        .expect("the connection ends")
        .expect("the connection ends well");
}
