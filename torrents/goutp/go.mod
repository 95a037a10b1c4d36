// Stands in for github.com/anacrolix/go-utp; see utp.go.
module github.com/anacrolix/go-utp

go 1.26

require github.com/anacrolix/utp v0.1.0
