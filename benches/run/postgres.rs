//! A database of our own on the PostgreSQL that `PAYLINK_TEST_POSTGRES` names.

use tokio_postgres::{Client, NoTls};
use url::Url;

use super::Fallible;

pub struct Database {
    admin: Client,
    name: String,
    /// What the service is given.
    pub url: String,
    /// The server's version and what it does for durability: figures mean little without them.
    pub settings: String,
}

impl Database {
    /// `None` where no server is named.
    pub async fn create() -> Fallible<Option<Self>> {
        let url = std::env::var("PAYLINK_TEST_POSTGRES").ok();
        let Some(url) = url.filter(|url| !url.is_empty()) else {
            return Ok(None);
        };
        let (admin, connection) = tokio_postgres::connect(&url, NoTls).await?;
        tokio::spawn(connection);
        let name = format!("paylink_bench_{}", std::process::id());
        admin
            .batch_execute(&format!("CREATE DATABASE {name}"))
            .await?;
        let show = async |setting: &str| {
            let row = admin.query_one(&format!("SHOW {setting}"), &[]).await?;
            row.try_get::<_, String>(0)
        };
        let version = show("server_version").await?;
        let settings = format!(
            "PostgreSQL {}, fsync {}, synchronous_commit {}",
            version.split(' ').next().unwrap_or_default(),
            show("fsync").await?,
            show("synchronous_commit").await?,
        );
        let mut url = Url::parse(&url)?;
        url.set_path(&name);
        Ok(Some(Self {
            admin,
            name,
            url: url.into(),
            settings,
        }))
    }

    pub async fn drop(self) -> Fallible<()> {
        let Self { admin, name, .. } = self;
        admin
            .batch_execute(&format!("DROP DATABASE {name} WITH (FORCE)"))
            .await?;
        Ok(())
    }
}
