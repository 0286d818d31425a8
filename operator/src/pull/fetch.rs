//! Fetches what an ExternalSecret needs, from the stores of this cluster.

use async_trait::async_trait;
use waxwing_core::external::{
    StoreRef,
    plan::{Fetch, Fetched, Input},
};
use waxwing_providers::fetch::{self as shared, Reached, Refused, Stores};

use super::{store_key, stores};
use crate::{context::Context, queue::Class};

/// Fetches everything, or finds that nothing has changed.
pub(crate) async fn fetch(ctx: &Context, input: &Input<'_>, fetch: &Fetch) -> Fetched {
    shared::fetch(&InCluster { ctx, namespace: input.object.namespace }, input, fetch).await
}

/// The stores that objects of one namespace can name.
pub(crate) struct InCluster<'a> {
    pub(crate) ctx: &'a Context,
    pub(crate) namespace: &'a str,
}

#[async_trait]
impl Stores for InCluster<'_> {
    async fn reach(&self, store: &StoreRef) -> Result<Reached, Refused> {
        stores::reach(self.ctx, self.namespace, store).await
    }

    fn passed_over(&self, store: &StoreRef) {
        // Its status is to say so, and its recovery to be noticed.
        self.ctx.look_store(&store_key(self.namespace, store), Class::Changed);
    }
}
