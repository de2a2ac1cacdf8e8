package pgdb

import (
	"errors"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5/pgconn"
)

// SQLSTATE codes, from Postgres' appendix A.
const (
	foreignKeyViolation  = "23503"
	uniqueViolation      = "23505"
	checkViolation       = "23514"
	serializationFailure = "40001"
	deadlockDetected     = "40P01"
	lockNotAvailable     = "55P03"

	classDataException       = "22"
	classIntegrityConstraint = "23"
)

// IsUniqueViolation says whether err is one; with names, whether it is of one of those constraints or unique indexes.
func IsUniqueViolation(err error, constraint ...string) bool {
	return violates(err, uniqueViolation, constraint)
}

// IsForeignKeyViolation says whether err is one; with names, whether it is of one of those constraints.
func IsForeignKeyViolation(err error, constraint ...string) bool {
	return violates(err, foreignKeyViolation, constraint)
}

// IsCheckViolation says whether err is one; with names, whether it is of one of those constraints.
func IsCheckViolation(err error, constraint ...string) bool {
	return violates(err, checkViolation, constraint)
}

func violates(err error, code string, constraints []string) bool {
	pgErr, ok := errors.AsType[*pgconn.PgError](err)
	return ok && pgErr.Code == code && (len(constraints) == 0 || slices.Contains(constraints, pgErr.ConstraintName))
}

// IsRetryable says whether the same transaction may well succeed when run again at once: a serialization failure, a deadlock, a
// table that somebody alters and that was not to be had in time.
func IsRetryable(err error) bool {
	switch code(err) {
	case serializationFailure, deadlockDetected:
		return true
	case lockNotAvailable:
		return errors.Is(err, errTableLocked)
	}
	return false
}

// IsLockTimeout says whether a lock was not to be had in time: somebody holds it for longer than that.
func IsLockTimeout(err error) bool { return code(err) == lockNotAvailable }

// IsMembers says whether an error of a transaction for a set is some member's: its data is to blame, or somebody holds a row that
// it needs. Without that member the others may go through.
func IsMembers(err error) bool {
	return IsDataError(err) || IsLockTimeout(err) && !errors.Is(err, errTableLocked)
}

// IsUnavailable says whether the database could not be reached, or is going down or coming up: nothing is wrong with the
// request, and a little later it may do.
func IsUnavailable(err error) bool {
	if _, ok := errors.AsType[*pgconn.ConnectError](err); ok {
		return true
	}
	switch code(err) {
	case "57P01", "57P02", "57P03", "53300": // admin_shutdown, crash_shutdown, cannot_connect_now, too_many_connections
		return true
	}
	return false
}

// IsDataError says whether the data is to blame (SQLSTATE class 22 or 23): repeating cannot help, and in a batch one
// of the members is poison.
func IsDataError(err error) bool {
	c := code(err)
	return strings.HasPrefix(c, classDataException) || strings.HasPrefix(c, classIntegrityConstraint)
}

// Constraint is the name of the constraint that err violates, empty when there is none.
func Constraint(err error) string {
	if pgErr, ok := errors.AsType[*pgconn.PgError](err); ok {
		return pgErr.ConstraintName
	}
	return ""
}

func code(err error) string {
	if pgErr, ok := errors.AsType[*pgconn.PgError](err); ok {
		return pgErr.Code
	}
	return ""
}
