//! SHIM
#[derive(Debug)]
pub struct Event {
    pub time_ns: u64,
    pub kind: String,
    pub action: String,
    pub name: String,
    pub id: String,
    pub attributes: std::collections::BTreeMap<String, String>,
}
pub fn append(_: &std::path::Path, _: &Event) {}
#[derive(Debug)]
pub struct Changes;
impl Changes {
    pub fn watch(_: &std::path::Path) -> insula_container::error::Result<Self> {
        Ok(Self)
    }
    pub fn wait(&mut self) -> insula_container::error::Result<()> {
        Ok(())
    }
}
