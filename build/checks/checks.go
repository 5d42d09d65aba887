// Package checks tests the files of deploy/ with the code of those who read
// them: Prometheus's parser and engine, Compose's and Kubernetes's types,
// BuildKit's Dockerfile parser; and, where they are installed, systemd-analyze,
// nginx, HAProxy and promtool. Expressions are evaluated against the metrics of a
// server that the tests build, start and load.
//
// It is a module of its own, so that all of that stays out of the product.
// CHECKS_REQUIRE_TOOLS=1 turns a missing program from a skip into a failure.
package checks
