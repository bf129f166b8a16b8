"""The feature store, feature statistics and nearest neighbours."""
