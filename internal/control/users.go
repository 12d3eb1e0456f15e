package control

import (
	"context"
	"net/mail"
	"net/url"
	"strings"

	"gatehouse"
	"gatehouse/internal/store"
)

const (
	// maxEmail is RFC 5321's longest path.
	maxEmail = 254
	maxURL   = 2048
)

// ListUsers implements gatehouse.Teams.
func (c *Caller) ListUsers(ctx context.Context, team gatehouse.ID, page gatehouse.Page) ([]*gatehouse.User, string, error) {
	out, err := read(ctx, c, query[listed[*gatehouse.User]]{
		op: gatehouse.ListUsers, act: gatehouse.Act{Action: "user.listed", Kind: gatehouse.KindUser, TeamID: team},
		run: func(v store.View, who *principal) (out listed[*gatehouse.User], err error) {
			t, err := liveTeam(v, who, who.home(team))
			if err != nil {
				return out, err
			}
			p, err := c.pager(gatehouse.ListUsers, t.ID, "", page)
			if err != nil {
				return out, err
			}
			users, err := v.Users(t.ID, p.cursor(), p.size+1)
			if err != nil {
				return out, err
			}
			return cut(p, users, func(u *gatehouse.User) place { return place{Time: u.CreateTime, ID: u.ID.String()} })
		},
	})
	return out.unpack(err)
}

// GetUser implements gatehouse.Teams.
func (c *Caller) GetUser(ctx context.Context, id gatehouse.ID) (*gatehouse.User, error) {
	return read(ctx, c, query[*gatehouse.User]{
		op: gatehouse.GetUser, act: reading("user.read", gatehouse.KindUser, id.String()),
		run: func(v store.View, who *principal) (*gatehouse.User, error) { return userOf(v, who, id) },
	})
}

// userOf is the person if the caller may know them.
func userOf(v store.View, who *principal, id gatehouse.ID) (*gatehouse.User, error) {
	u, err := found(v.User(id))
	if err != nil {
		return nil, err
	}
	if u == nil || !who.reaches(u.TeamID) || !u.DeleteTime.IsZero() {
		return nil, missing("user")
	}
	return u, nil
}

// CreateUser implements gatehouse.Teams. Names and addresses stay out of the
// log's description: a person can be erased, a leaf cannot.
func (c *Caller) CreateUser(ctx context.Context, n *gatehouse.User) (*gatehouse.User, error) {
	id := gatehouse.NewID()
	return mutate(ctx, c, mutation[*gatehouse.User]{
		op: gatehouse.CreateUser, target: n.TeamID.String(),
		run: func(tx store.Tx, who *principal) (*gatehouse.User, error) {
			team, err := liveTeam(tx, who, who.home(n.TeamID))
			if err != nil {
				return nil, err
			}
			u := &gatehouse.User{
				ID: id, TeamID: team.ID, GivenName: n.GivenName, FamilyName: n.FamilyName, Email: n.Email,
				ProfileImage: n.ProfileImage, CreateTime: utc(who.now),
			}
			if err := validateUser(u); err != nil {
				return nil, err
			}
			return u, tx.PutUser(u, done(gatehouse.CreateUser, "user.created", team.ID, gatehouse.KindUser, id.String(), "User "+id.String()+" was created"))
		},
	})
}

// UpdateUser implements gatehouse.Teams. The leaf names the fields and not
// their values.
func (c *Caller) UpdateUser(ctx context.Context, n gatehouse.UserUpdate) (*gatehouse.User, error) {
	return mutate(ctx, c, mutation[*gatehouse.User]{
		op: gatehouse.UpdateUser, target: n.ID.String(),
		run: func(tx store.Tx, who *principal) (*gatehouse.User, error) {
			before, err := userOf(tx, who, n.ID)
			if err == nil {
				err = c.matches(before.Revision)
			}
			if err == nil {
				err = who.mayTouch(before) // an address is how a person is found who signs in
			}
			if err != nil {
				return nil, err
			}
			u := *before
			set(&u.GivenName, n.GivenName)
			set(&u.FamilyName, n.FamilyName)
			set(&u.Email, n.Email)
			set(&u.ProfileImage, n.ProfileImage)
			if err := validateUser(&u); err != nil {
				return nil, err
			}
			act := done(gatehouse.UpdateUser, "user.updated", u.TeamID, gatehouse.KindUser, u.ID.String(), "User "+u.ID.String()+" was updated")
			act.Details = fieldsOf(n)
			return &u, tx.PutUser(&u, act)
		},
	})
}

// fieldsOf names the fields of an update without their values, which are personal.
func fieldsOf(n gatehouse.UserUpdate) changes {
	var names []string
	for field, named := range map[string]bool{
		"givenName": n.GivenName.Set, "familyName": n.FamilyName.Set, "email": n.Email.Set, "profileImage": n.ProfileImage.Set,
	} {
		if named {
			names = append(names, field)
		}
	}
	return changes{"fields": strings.Join(sorted(names), ", ")}
}

// validateUser names everything that is wrong; every field may be empty.
func validateUser(u *gatehouse.User) error {
	var bad gatehouse.Violations
	u.GivenName = optionalName("givenName", u.GivenName, &bad)
	u.FamilyName = optionalName("familyName", u.FamilyName, &bad)
	if u.Email = strings.TrimSpace(u.Email); u.Email != "" {
		u.Email = address("email", u.Email, &bad)
	}
	if img, err := url.Parse(u.ProfileImage); u.ProfileImage != "" &&
		(err != nil || img.Host == "" || img.Scheme != "https" && img.Scheme != "http" || len(u.ProfileImage) > maxURL) {
		bad.Addf("profileImage", "must be an http or https URL of at most %d bytes", maxURL)
	}
	return bad.Err()
}

// address is an e-mail address as it is stored: nothing but the address.
func address(field, s string, bad *gatehouse.Violations) string {
	s = strings.TrimSpace(s)
	if a, err := mail.ParseAddress(s); err != nil || a.Address != s || len(s) > maxEmail {
		bad.Addf(field, "is not an e-mail address")
	}
	return s
}
