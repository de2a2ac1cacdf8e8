//go:build !linux

package pgtest

// memoryDir is empty: there is no directory in memory that every machine has.
func memoryDir() string { return "" }
