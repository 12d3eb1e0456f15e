package control

import (
	"bytes"
	"context"
	"log/slog"
	"sync"

	"gatehouse"
	"gatehouse/internal/store"
)

// checksAtOnce bounds how many people the provider is asked about at a time.
const checksAtOnce = 8

// CheckSignIns asks the identity provider whether everybody who signed in is
// still there. Whoever it says is not is disabled: their management keys are
// refused from the next request on, and their API keys wait among the orphans.
// A provider that cannot be reached has said nothing, and nothing changes.
func (s *Service) CheckSignIns(ctx context.Context) error {
	if s.Identities == nil {
		return nil
	}
	all, left, err := s.signedIn(ctx)
	if err != nil {
		return err
	}
	for _, user := range left {
		if err := s.Store.Work(store.System(ctx), func(w store.Work) error { return w.DropSignIn(user) }); err != nil {
			return err
		}
	}
	var group sync.WaitGroup
	slots := make(chan struct{}, checksAtOnce)
	for _, state := range all {
		slots <- struct{}{}
		group.Go(func() {
			defer func() { <-slots }()
			if err := s.checkSignIn(ctx, state); err != nil && ctx.Err() == nil {
				s.Logger.WarnContext(ctx, "cannot tell whether a person is still there", slog.String("user", state.User.String()), slog.Any("error", err))
			}
		})
	}
	group.Wait()
	return ctx.Err()
}

// signedIn are those to ask about. Of who was removed from their team since, what
// is kept has no use any more.
func (s *Service) signedIn(ctx context.Context) (all []store.SignInState, left []gatehouse.ID, err error) {
	err = s.Store.View(store.System(ctx), func(v store.View) error {
		all, left = nil, nil
		states, err := v.SignIns()
		for _, state := range states {
			u, err := found(v.User(state.User))
			if err != nil {
				return err
			}
			if u == nil || !there(u) {
				left = append(left, state.User)
				continue
			}
			all = append(all, state)
		}
		return err
	})
	return all, left, err
}

// checkSignIn asks about one. The next refresh token is kept at once: a provider
// that hands out each once takes the second use of one for a theft.
func (s *Service) checkSignIn(ctx context.Context, state store.SignInState) error {
	// The round may be long, and another node's by now: what that one spent must
	// not be spent again.
	same, err := s.unchanged(ctx, state)
	if err != nil || !same {
		return err
	}
	next, gone, err := s.Identities.Refresh(ctx, string(state.Refresh))
	if err != nil {
		return err
	}
	ctx = context.WithoutCancel(ctx) // what the provider said must not be lost to a stop
	if gone {
		return s.disable(ctx, state)
	}
	if next == "" {
		next = string(state.Refresh)
	}
	same, err = s.unchanged(ctx, state)
	if err != nil || !same {
		return err
	}
	return s.keepSignIn(ctx, state.User, next)
}

// unchanged reports whether the person has not signed in anew meanwhile.
func (s *Service) unchanged(ctx context.Context, state store.SignInState) (same bool, err error) {
	err = s.Store.View(store.System(ctx), func(v store.View) (err error) {
		same, err = stillSo(v, state)
		return err
	})
	return same, err
}

func stillSo(v store.View, state store.SignInState) (bool, error) {
	all, err := v.SignIns()
	for _, o := range all {
		if o.User == state.User {
			return bytes.Equal(o.Refresh, state.Refresh), err
		}
	}
	return false, err
}

// disable ends what a person may do who left at the provider.
func (s *Service) disable(ctx context.Context, state store.SignInState) error {
	cause := gatehouse.Cause{Actor: gatehouse.Actor{Kind: gatehouse.ActorSystem}, Reason: "the identity provider knows the person no more"}
	same := false
	_, err := s.Store.Update(store.System(ctx), cause, func(tx store.Tx) (err error) {
		if same, err = stillSo(tx, state); err != nil || !same {
			return err
		}
		u, err := found(tx.User(state.User))
		if err != nil || u == nil || !there(u) {
			return err
		}
		out := *u
		out.Disabled = true
		return tx.PutUser(&out, done("CheckSignIns", "user.disabled", u.TeamID, gatehouse.KindUser, u.ID.String(), "User "+u.ID.String()+" left at the identity provider"))
	})
	if err != nil || !same {
		return err
	}
	return s.Store.Work(store.System(ctx), func(w store.Work) error { return w.DropSignIn(state.User) })
}
