package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"gatehouse"
	"gatehouse/client"
	"gatehouse/internal/durable"
)

// logins is the file of gatehouse login: a key for each management plane. It is
// the owner's alone; a key is sent nowhere but to the URL that gave it.
type logins map[string]login

type login struct {
	Key    string    `json:"management_key"`
	Expire time.Time `json:"expires"`
}

// loginFile is where logins are kept: gatehouse/login.json in the user's
// configuration directory.
func loginFile() (string, error) {
	dir, err := os.UserConfigDir()
	return filepath.Join(dir, "gatehouse", "login.json"), err
}

func readLogins() (logins, error) {
	file, err := loginFile()
	if err != nil { // no home: nobody logged in here
		return logins{}, nil
	}
	info, err := os.Stat(file)
	if errors.Is(err, fs.ErrNotExist) {
		return logins{}, nil
	}
	if err != nil {
		return nil, err
	}
	if info.Mode().Perm()&0o077 != 0 {
		return nil, gatehouse.Errorf(gatehouse.FailedPrecondition, "%s is open to others, and holds a management key: chmod 600 it", file)
	}
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	all := logins{}
	if err := json.Unmarshal(text, &all); err != nil {
		return nil, fmt.Errorf("%s: %w", file, err)
	}
	return all, nil
}

// write keeps what is not over.
func (l logins) write(now time.Time) error {
	file, err := loginFile()
	if err != nil {
		return err
	}
	for url, in := range l {
		if !now.Before(in.Expire) {
			delete(l, url)
		}
	}
	if err := os.MkdirAll(filepath.Dir(file), 0o700); err != nil {
		return err
	}
	text, err := json.MarshalIndent(l, "", "  ")
	if err != nil {
		return err
	}
	return durable.Replace(file, append(text, '\n'), 0o600)
}

// storedKey is the key of a login at url; zero for none.
func storedKey(url string, now time.Time) (gatehouse.Token, error) {
	all, err := readLogins()
	if err != nil {
		return gatehouse.Token{}, err
	}
	in, ok := all[url]
	if !ok {
		return gatehouse.Token{}, nil
	}
	if !now.Before(in.Expire) {
		return gatehouse.Token{}, gatehouse.Errorf(gatehouse.Unauthenticated, "your login ended at %s: run gatehouse login", clock(in.Expire, ""))
	}
	return client.ParseKey(in.Key)
}
