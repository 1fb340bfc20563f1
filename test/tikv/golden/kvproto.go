// Writes kvproto.json: messages with every field that the subset in proto/tikv has, in bytes of github.com/pingcap/kvproto itself.
// go mod init gold && go get github.com/pingcap/kvproto@50b863799195 && go run . > kvproto.json
package main

import (
	"encoding/hex"
	"encoding/json"
	"fmt"

	"github.com/pingcap/kvproto/pkg/errorpb"
	"github.com/pingcap/kvproto/pkg/keyspacepb"
	"github.com/pingcap/kvproto/pkg/kvrpcpb"
	"github.com/pingcap/kvproto/pkg/metapb"
	"github.com/pingcap/kvproto/pkg/pdpb"
	"github.com/pingcap/kvproto/pkg/tikvpb"
)

type m interface{ Marshal() ([]byte, error) }

func main() {
	epoch := &metapb.RegionEpoch{ConfVer: 5, Version: 9007199254740993}
	peer := &metapb.Peer{Id: 9007199254740995, StoreId: 7, Role: metapb.PeerRole_DemotingVoter, IsWitness: true}
	region := &metapb.Region{Id: 9007199254740997, StartKey: []byte("a"), EndKey: []byte("z"), RegionEpoch: epoch, Peers: []*metapb.Peer{peer}}
	ctx := &kvrpcpb.Context{RegionId: 9007199254740997, RegionEpoch: epoch, Peer: peer, MaxExecutionDurationMs: 100, IsRetryRequest: true, ApiVersion: kvrpcpb.APIVersion_V2, RequestSource: "weir", KeyspaceId: 513, ClusterId: 7711383951708769177}
	head := &pdpb.ResponseHeader{ClusterId: 7711383951708769177, Error: &pdpb.Error{Type: pdpb.ErrorType_ENTRY_NOT_FOUND, Message: "no"}}
	req := &pdpb.RequestHeader{ClusterId: 7711383951708769177, SenderId: 3}
	rerr := &errorpb.Error{Message: "m",
		NotLeader: &errorpb.NotLeader{RegionId: 1, Leader: peer}, RegionNotFound: &errorpb.RegionNotFound{RegionId: 2},
		KeyNotInRegion: &errorpb.KeyNotInRegion{Key: []byte("k"), RegionId: 3, StartKey: []byte("s"), EndKey: []byte("e")},
		EpochNotMatch: &errorpb.EpochNotMatch{CurrentRegions: []*metapb.Region{region}}, ServerIsBusy: &errorpb.ServerIsBusy{Reason: "r", BackoffMs: 4, EstimatedWaitMs: 5},
		StaleCommand: &errorpb.StaleCommand{}, StoreNotMatch: &errorpb.StoreNotMatch{RequestStoreId: 6, ActualStoreId: 7},
		RaftEntryTooLarge: &errorpb.RaftEntryTooLarge{RegionId: 8, EntrySize: 9}, MaxTimestampNotSynced: &errorpb.MaxTimestampNotSynced{},
		ReadIndexNotReady: &errorpb.ReadIndexNotReady{Reason: "i", RegionId: 10}, ProposalInMergingMode: &errorpb.ProposalInMergingMode{RegionId: 11},
		DataIsNotReady: &errorpb.DataIsNotReady{RegionId: 12, PeerId: 13, SafeTs: 14}, RegionNotInitialized: &errorpb.RegionNotInitialized{RegionId: 15},
		DiskFull: &errorpb.DiskFull{StoreId: []uint64{16, 17}, Reason: "d"}, RecoveryInProgress: &errorpb.RecoveryInProgress{RegionId: 18},
		FlashbackInProgress: &errorpb.FlashbackInProgress{RegionId: 19, FlashbackStartTs: 20}, FlashbackNotPrepared: &errorpb.FlashbackNotPrepared{RegionId: 21},
		IsWitness: &errorpb.IsWitness{RegionId: 22}, MismatchPeerId: &errorpb.MismatchPeerId{RequestPeerId: 23, StorePeerId: 24},
		BucketVersionNotMatch: &errorpb.BucketVersionNotMatch{Version: 25, Keys: [][]byte{[]byte("b")}}}
	pairs := []*kvrpcpb.KvPair{{Key: []byte("k"), Value: []byte("v")}, {Error: &kvrpcpb.KeyError{Abort: "a"}}}
	member := &pdpb.Member{Name: "pd", MemberId: 9007199254740999, PeerUrls: []string{"http://p"}, ClientUrls: []string{"http://c"}}
	all := map[string]m{
		"errorpb.Error":                  rerr,
		"kvrpcpb.RawGetRequest":          &kvrpcpb.RawGetRequest{Context: ctx, Key: []byte("k"), Cf: "c"},
		"kvrpcpb.RawGetResponse":         &kvrpcpb.RawGetResponse{RegionError: rerr, Error: "e", Value: []byte("v"), NotFound: true},
		"kvrpcpb.RawBatchGetRequest":     &kvrpcpb.RawBatchGetRequest{Context: ctx, Keys: [][]byte{[]byte("a"), []byte("b")}, Cf: "c"},
		"kvrpcpb.RawBatchGetResponse":    &kvrpcpb.RawBatchGetResponse{RegionError: rerr, Pairs: pairs},
		"kvrpcpb.RawPutRequest":          &kvrpcpb.RawPutRequest{Context: ctx, Key: []byte("k"), Value: []byte("v"), Cf: "c", Ttl: 60, ForCas: true},
		"kvrpcpb.RawPutResponse":         &kvrpcpb.RawPutResponse{RegionError: rerr, Error: "e"},
		"kvrpcpb.RawBatchPutRequest":     &kvrpcpb.RawBatchPutRequest{Context: ctx, Pairs: pairs, Cf: "c", Ttl: 1, ForCas: true, Ttls: []uint64{2, 3}},
		"kvrpcpb.RawDeleteRequest":       &kvrpcpb.RawDeleteRequest{Context: ctx, Key: []byte("k"), Cf: "c", ForCas: true},
		"kvrpcpb.RawDeleteResponse":      &kvrpcpb.RawDeleteResponse{RegionError: rerr, Error: "e"},
		"kvrpcpb.RawScanRequest":         &kvrpcpb.RawScanRequest{Context: ctx, StartKey: []byte("a"), Limit: 9, KeyOnly: true, Cf: "c", Reverse: true, EndKey: []byte("z")},
		"kvrpcpb.RawScanResponse":        &kvrpcpb.RawScanResponse{RegionError: rerr, Kvs: pairs},
		"kvrpcpb.RawGetKeyTTLRequest":    &kvrpcpb.RawGetKeyTTLRequest{Context: ctx, Key: []byte("k"), Cf: "c"},
		"kvrpcpb.RawGetKeyTTLResponse":   &kvrpcpb.RawGetKeyTTLResponse{RegionError: rerr, Error: "e", Ttl: 60, NotFound: true},
		"kvrpcpb.RawCASRequest":          &kvrpcpb.RawCASRequest{Context: ctx, Key: []byte("k"), Value: []byte("v"), PreviousNotExist: true, PreviousValue: []byte("p"), Cf: "c", Ttl: 60},
		"kvrpcpb.RawCASResponse":         &kvrpcpb.RawCASResponse{RegionError: rerr, Error: "e", Succeed: true, PreviousNotExist: true, PreviousValue: []byte("p")},
		"pdpb.GetMembersRequest":         &pdpb.GetMembersRequest{Header: req},
		"pdpb.GetMembersResponse":        &pdpb.GetMembersResponse{Header: head, Members: []*pdpb.Member{member}, Leader: member, EtcdLeader: member},
		"pdpb.GetRegionRequest":          &pdpb.GetRegionRequest{Header: req, RegionKey: []byte("k"), NeedBuckets: true},
		"pdpb.GetRegionResponse":         &pdpb.GetRegionResponse{Header: head, Region: region, Leader: peer, DownPeers: []*pdpb.PeerStats{{Peer: peer, DownSeconds: 9}}, PendingPeers: []*metapb.Peer{peer}},
		"pdpb.GetStoreRequest":           &pdpb.GetStoreRequest{Header: req, StoreId: 7},
		"pdpb.GetStoreResponse":          &pdpb.GetStoreResponse{Header: head, Store: &metapb.Store{Id: 7, Address: "h:1", State: metapb.StoreState_Tombstone, Version: "8"}},
		"pdpb.ScanRegionsRequest":        &pdpb.ScanRegionsRequest{Header: req, StartKey: []byte("a"), Limit: 5, EndKey: []byte("z")},
		"pdpb.ScanRegionsResponse":       &pdpb.ScanRegionsResponse{Header: head, RegionMetas: []*metapb.Region{region}, Leaders: []*metapb.Peer{peer}, Regions: []*pdpb.Region{{Region: region, Leader: peer}}},
		"keyspacepb.LoadKeyspaceRequest": &keyspacepb.LoadKeyspaceRequest{Header: req, Name: "n"},
		"keyspacepb.LoadKeyspaceResponse": &keyspacepb.LoadKeyspaceResponse{Header: head, Keyspace: &keyspacepb.KeyspaceMeta{Id: 513, Name: "n", State: keyspacepb.KeyspaceState_ARCHIVED, CreatedAt: 1, StateChangedAt: 2}},
		"tikvpb.BatchCommandsRequest": &tikvpb.BatchCommandsRequest{RequestIds: []uint64{9007199254740993}, Requests: []*tikvpb.BatchCommandsRequest_Request{{Cmd: &tikvpb.BatchCommandsRequest_Request_RawGet{RawGet: &kvrpcpb.RawGetRequest{Context: ctx, Key: []byte("k")}}}}},
	}
	out := map[string]string{}
	for name, message := range all {
		bytes, err := message.Marshal()
		if err != nil {
			panic(err)
		}
		out[name] = hex.EncodeToString(bytes)
	}
	text, _ := json.MarshalIndent(out, "", "  ")
	fmt.Println(string(text))
}
