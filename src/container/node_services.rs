//! What a node of Kubernetes needs to run at all, by the names that its distributions and plugins give. Each list is one text: a name
//! in a table of its own would cost the program as much again.

/// The programs that network plugins and virtual addresses run.
pub fn network_programs() -> impl Iterator<Item = &'static str> {
    "antrea-agent,aws-k8s-agent,aws-vpc-cni,azure-cns,bird,bird6,calico-node,cilium-agent,flanneld,keepalived,kindnetd,\
     kube-ovn-daemon,kube-proxy,kube-router,kube-vip,multus-daemon,ovn-controller,ovnkube,ovs-vswitchd,ovsdb-server,\
     spiderpool-agent,terwayd,weaver"
        .split(',')
}

/// The programs of a control plane, be it in pods of an API server (a hosted one) and not of files.
pub fn cluster_programs() -> impl Iterator<Item = &'static str> {
    "cloud-controller-manager,etcd,kube-apiserver,kube-controller-manager,kube-scheduler".split(',')
}

/// The pods of the usual network plugins, of CSI and device plugins and the storage behind them, of plugins of NRI, and
/// the agents of nodes; their pause containers included. A name that is no plugin's own has its namespace.
pub fn pods() -> impl Iterator<Item = &'static str> {
    "*-csi-plugin-*,*csi-driver-node-*,*csi-node-*,*device-plugin-*,*kubelet-plugin-*,*nodeplugin-*,\
     *secrets-store-csi-driver-*,anetd-*,antrea-agent-*,aws-node-*,azure-cns-*,azure-ip-masq-agent-*,azure-npm-*,\
     azure-vnet-*,calico-node-*,calico-typha-*,canal-*,cilium-*,cloud-node-manager-*,csi-*-node-*,csi-*plugin-*,\
     eks-node-monitoring-agent-*,eks-pod-identity-agent-*,gke-metadata-server-*,intel-*-plugin-*,ip-masq-agent-*,kindnet-*,\
     konnectivity-agent-*,kube-flannel-*,kube-multus-*,kube-ovn-cni-*,kube-proxy-*,kube-router-*,\
     kube-system/filestore-node-*,kube-system/metadata-proxy-*,kube-system/netd-*,kube-vip-*,linstor-satellite.*,\
     longhorn-system/engine-image-*,longhorn-system/instance-manager-*,longhorn-system/longhorn-manager-*,\
     machine-config-daemon-*,metallb-system/*speaker-*,multus-*,node-local-dns-*,node-problem-detector-*,nri-*,\
     nvidia-container-toolkit-*,nvidia-driver-daemonset-*,openebs-*-node-*,openebs/*io-engine-*,ovnkube-node-*,ovs-node-*,\
     ovs-ovn-*,rke2-canal-*,rke2-flannel-*,rke2-multus-*,rook-ceph/rook-ceph-mon-*,rook-ceph/rook-ceph-osd-*,\
     spiderpool-agent-*,terway-*,tke-bridge-agent-*,tke-cni-agent-*,tke-eni-agent-*,topolvm-node-*,trident-node-*,weave-net-*"
        .split(',')
}
