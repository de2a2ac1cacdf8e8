//go:build !linux

package e2e

import "syscall"

func bound() *syscall.SysProcAttr { return &syscall.SysProcAttr{} }
