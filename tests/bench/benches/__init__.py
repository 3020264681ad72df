"""The measurements of scripts/bench, one module each; docs/bench.md says what they mean."""
