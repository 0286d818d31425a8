//! Parameter Store: what is read, how often AWS is asked for it, and what is found.

use std::collections::BTreeMap;

use anyhow::Result;
use futures::future::try_join_all;
use serde_json::{Value, json};
use waxwing_core::store::{Failure, Find, Kind};
use waxwing_tests::block_on;
use waxwing_tests::moto::{ACCOUNT, REGION};

use super::{as_anybody, asking, count, counted, kind, read, text, text_of, version};

fn parameters(more: Value) -> Value {
    let mut fields = json!({"service": "ParameterStore"});
    fields.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    fields
}

#[test]
fn a_parameter_is_read_decrypted_in_each_of_its_versions() -> Result<()> {
    block_on(async {
        let (moto, proxy) = counted().await?;
        moto.put_parameter("/read/db", "one").await?;
        moto.put_parameter("/read/db", "two").await?;
        let label = json!({"Name": "/read/db", "ParameterVersion": 1, "Labels": ["blue"]});
        moto.call("AmazonSSM.LabelParameterVersion", label).await?;
        let store = as_anybody(&proxy.url, parameters(json!({})));
        let current = read(&store, asking("/read/db")).await.unwrap();
        assert_eq!((text_of(&current).as_str(), current.version.as_deref()), ("two", Some("2")));
        for (asked, value) in [("1", "one"), ("2", "two"), ("blue", "one")] {
            assert_eq!(text(&store, version("/read/db", asked)).await.as_deref(), Ok(value), "{asked}");
        }
        let arn = format!("arn:aws:ssm:{REGION}:{ACCOUNT}:parameter/read/db");
        assert_eq!(text(&store, asking(arn)).await.as_deref(), Ok("two"));
        assert_eq!(kind(read(&store, version("/read/db", "9")).await), Some(Kind::EntryMissing));
        assert_eq!(kind(read(&store, asking("/read/absent")).await), Some(Kind::EntryMissing));
        // What would be a version by another way is no name.
        assert_eq!(kind(read(&store, asking("/read/db:1")).await), Some(Kind::Rejected));
        assert_eq!(store.check().await, Ok(()));
        Ok(())
    })
}

#[test]
fn twenty_five_parameters_are_three_requests() -> Result<()> {
    block_on(async {
        let (moto, proxy) = counted().await?;
        let names: Vec<_> = (0..25).map(|index| format!("/batch/{index:02}")).collect();
        try_join_all(names.iter().map(|name| moto.put_parameter(name, name))).await?;
        let store = as_anybody(&proxy.url, parameters(json!({})));
        assert_eq!(store.batch(), 10);
        let reads: Vec<_> = names.iter().map(asking).collect();
        let values: Result<Vec<_>, Failure> =
            store.read(&reads).await.into_iter().map(|entry| entry.map(|entry| text_of(&entry))).collect();
        assert_eq!(values, Ok(names));
        assert_eq!((count(&proxy, "GetParameters"), proxy.calls().len()), (3, 3));

        let mixed = store.read(&[asking("/batch/00"), asking("/batch/absent"), asking("no name")]).await;
        let kinds: Vec<_> = mixed.into_iter().map(kind).collect();
        assert_eq!(kinds, [None, Some(Kind::EntryMissing), Some(Kind::Rejected)]);
        Ok(())
    })
}

#[test]
fn parameters_are_found_by_path_by_name_and_by_tags() -> Result<()> {
    block_on(async {
        let (moto, proxy) = counted().await?;
        for (name, team) in [("/find/a/db", "finders"), ("/find/a/web/db", "finders"), ("/find/b/db", "bank")]
        {
            let tags = json!([{"Key": "team", "Value": team}]);
            let body = json!({"Name": name, "Value": "x", "Type": "SecureString", "Tags": tags});
            moto.call("AmazonSSM.PutParameter", body).await?;
        }
        moto.put_parameter("/find/a-not", "x").await?;
        moto.put_parameter("findable", "x").await?;
        let store = as_anybody(&proxy.url, parameters(json!({})));
        let all = |keys: &[&str]| Ok(keys.iter().map(|&key| key.to_owned()).collect::<Vec<_>>());
        let below = |path: &str| Find { path: Some(path.to_owned()), ..Find::default() };

        assert_eq!(store.find(&below("/find/a")).await, all(&["/find/a/db", "/find/a/web/db"]));
        assert_eq!(count(&proxy, "DescribeParameters"), 0, "a path needs no right to all names");
        let by_name = Find { name: Some("^/?find.*".to_owned()), ..Find::default() };
        assert_eq!(
            store.find(&by_name).await,
            all(&["/find/a-not", "/find/a/db", "/find/a/web/db", "/find/b/db", "findable"])
        );
        let tags = BTreeMap::from([("team".to_owned(), "finders".to_owned())]);
        assert_eq!(
            store.find(&Find { tags: tags.clone(), ..Find::default() }).await,
            all(&["/find/a/db", "/find/a/web/db"])
        );
        assert_eq!(store.find(&Find { tags, ..below("/find/a/web") }).await, all(&["/find/a/web/db"]));
        assert_eq!(store.find(&below("/find/nothing")).await, all(&[]));

        let ours = as_anybody(&proxy.url, parameters(json!({"prefix": "/find/"})));
        assert_eq!(ours.find(&Find::default()).await, all(&["a-not", "a/db", "a/web/db", "b/db"]));
        assert_eq!(text(&ours, asking("b/db")).await.as_deref(), Ok("x"));
        assert_eq!(kind(read(&ours, asking("/find/b/db")).await), Some(Kind::EntryMissing));
        Ok(())
    })
}

#[test]
fn a_path_of_many_parameters_is_read_to_its_end() -> Result<()> {
    block_on(async {
        let (moto, proxy) = counted().await?;
        let names: Vec<_> = (0..25).map(|index| format!("/many/{index:02}")).collect();
        try_join_all(names.iter().map(|name| moto.put_parameter(name, "x"))).await?;
        let store = as_anybody(&proxy.url, parameters(json!({})));
        let many = Find { path: Some("/many".to_owned()), ..Find::default() };
        assert_eq!(store.find(&many).await, Ok(names));
        assert_eq!(count(&proxy, "GetParametersByPath"), 3);
        Ok(())
    })
}

#[test]
fn metadata_is_the_tags() -> Result<()> {
    block_on(async {
        let (moto, proxy) = counted().await?;
        let tags = json!([{"Key": "team", "Value": "shop"}]);
        let body = json!({"Name": "/tagged/db", "Value": "x", "Type": "String", "Tags": tags});
        moto.call("AmazonSSM.PutParameter", body).await?;
        let store = as_anybody(&proxy.url, parameters(json!({})));
        let mut asked = asking("/tagged/db");
        asked.metadata = true;
        assert_eq!(text(&store, asked.clone()).await.as_deref(), Ok(r#"{"team":"shop"}"#));
        asked.key = "/tagged/absent".to_owned();
        assert_eq!(kind(read(&store, asked).await), Some(Kind::EntryMissing));
        Ok(())
    })
}
