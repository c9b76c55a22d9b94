//! STUB to be replaced by the merge of caproot.
#![allow(missing_docs, unsafe_code, clippy::undocumented_unsafe_blocks)]
use std::ffi::*;use std::path::*;use std::os::fd::*;
use crabcan_init::*;
#[derive(Debug, thiserror::Error)]
pub enum Error { #[error("{what}")] Io { what: String, source: std::io::Error } }
#[derive(Clone,Copy,Debug,Default,PartialEq,Eq)] pub struct MountAttributes(u64);
impl MountAttributes { pub const RDONLY:Self=Self(1);pub const NOSUID:Self=Self(2);pub const NODEV:Self=Self(4);pub const NOEXEC:Self=Self(8); pub fn bits(self)->u64{self.0}}
impl std::ops::BitOr for MountAttributes{type Output=Self;fn bitor(self,o:Self)->Self{Self(self.0|o.0)}}
#[derive(Clone,Copy,Debug,Default)] pub struct TargetFlags(u32);
impl TargetFlags{pub const CREATE:Self=Self(1);pub const NO_SYMLINKS:Self=Self(2);}
impl std::ops::BitOr for TargetFlags{type Output=Self;fn bitor(self,o:Self)->Self{Self(self.0|o.0)}}
#[derive(Debug)] pub struct NewMount{f:CString,s:CString,d:Vec<u8>,a:MountAttributes,t:CString,g:TargetFlags}
impl NewMount{pub fn new(f:CString,s:CString,d:&[String],a:MountAttributes,t:CString)->Self{let mut v=vec![];for x in d{v.extend(x.as_bytes());v.push(0)};Self{f,s,d:v,a,t,g:TargetFlags(0)}} pub fn flags(mut self,g:TargetFlags)->Self{self.g=g;self}
pub fn push(&self,w:&mut PlanWriter)->Result<(),TooLong>{w.push(&Step::Mount{fstype:&self.f,source:&self.s,options:format::Strings::new(&self.d).unwrap(),attributes:self.a.0,target:&self.t,flags:self.g.0}).map(drop)}}
#[derive(Debug)] pub struct Bind{pub source:CString,pub received:bool,pub recursive:bool,pub attributes:MountAttributes,pub target:CString,pub flags:TargetFlags,pub device:u64}
impl Bind{pub fn push(&self,w:&mut PlanWriter)->Result<(),TooLong>{w.push(&Step::Bind{source:&self.source,received:self.received,recursive:self.recursive,attributes:self.attributes.0,target:&self.target,flags:self.flags.0,device:self.device}).map(drop)}}
#[derive(Debug)] pub enum Root{Directory{source:CString,received:bool,recursive:bool,attributes:MountAttributes},Overlay{lower:CString,received:bool,attributes:MountAttributes}}
impl Root{pub fn push(&self,w:&mut PlanWriter)->Result<(),TooLong>{w.push(&match self{Self::Directory{source,received,recursive,attributes}=>Step::Root{source,received:*received,recursive:*recursive,attributes:attributes.0},Self::Overlay{lower,received,attributes}=>Step::OverlayRoot{lower,received:*received,attributes:attributes.0}}).map(drop)}}
pub mod options{use super::*; #[derive(Debug,Default)] pub struct MountOptions{a:u64,d:Vec<String>,b:bool,r:bool,i:bool}
impl MountOptions{pub fn parse<'a>(o:impl Iterator<Item=&'a str>)->Result<Self,Error>{let mut s=Self::default();for x in o{match x{"ro"=>s.a|=1,"rw"=>s.a&=!1,"nosuid"=>s.a|=2,"nodev"=>s.a|=4,"noexec"=>s.a|=8,"bind"=>s.b=true,"rbind"=>{s.b=true;s.r=true},"ridmap"|"idmap"=>s.i=true,x=>s.d.push(x.into())}}Ok(s)}
pub fn is_bind(&self)->bool{self.b} pub fn is_recursive_bind(&self)->bool{self.r} pub fn is_idmapped(&self)->bool{self.i} pub fn data(&self)->&[String]{&self.d} pub fn attributes(&self)->MountAttributes{MountAttributes(self.a)}}}
pub mod pivot{use super::*;#[derive(Clone,Copy,Debug)] pub enum Propagation{Private} pub fn push_propagation(_p:Propagation,w:&mut PlanWriter)->Result<(),TooLong>{w.push(&Step::Propagation{flags:(1<<18)|16384}).map(drop)}}
pub mod device{use super::*;pub fn push_devices(w:&mut PlanWriter)->Result<(),TooLong>{for (n,a,b) in [("null",1,3),("zero",1,5),("full",1,7),("random",1,8),("urandom",1,9),("tty",5,0)]{let p=CString::new(format!("/dev/{n}")).unwrap();w.push(&Step::Bind{source:&p,received:false,recursive:false,attributes:10,target:&p,flags:1,device:(a<<8|b)})?;}Ok(())}
pub fn push_links(w:&mut PlanWriter)->Result<(),TooLong>{for (l,t) in [("/dev/fd","/proc/self/fd"),("/dev/stdin","/proc/self/fd/0"),("/dev/stdout","/proc/self/fd/1"),("/dev/stderr","/proc/self/fd/2"),("/dev/ptmx","pts/ptmx")]{w.push(&Step::Symlink{text:&CString::new(t).unwrap(),target:&CString::new(l).unwrap()})?;}Ok(())}}
pub mod mask{use super::*;pub const DEFAULT_MASKED:&[&str]=&["/proc/kcore"];pub const DEFAULT_READ_ONLY:&[&str]=&["/proc/sys"];
pub fn push_masked(p:&[PathBuf],w:&mut PlanWriter)->Result<(),Error>{for x in p{w.push(&Step::Mask{target:&CString::new(x.to_str().unwrap()).unwrap()}).unwrap();}Ok(())}
pub fn push_read_only(p:&[PathBuf],w:&mut PlanWriter)->Result<(),Error>{for x in p{w.push(&Step::ReadOnly{target:&CString::new(x.to_str().unwrap()).unwrap()}).unwrap();}Ok(())}}
#[derive(Debug)] pub struct RootFd(PathBuf); #[derive(Debug)] pub enum Kind{Any}
impl RootFd{pub fn open(p:&Path)->Result<Self,Error>{Ok(Self(p.into()))} pub fn kind(&self,p:&Path)->Result<Option<Kind>,Error>{Ok(self.0.join(p.strip_prefix("/").unwrap()).exists().then_some(Kind::Any))}}
pub fn detached_tree(s:&Path,rec:bool,a:MountAttributes,idmap:Option<BorrowedFd<'_>>)->Result<OwnedFd,Error>{
 let c=CString::new(s.to_str().unwrap()).unwrap();let e=||Error::Io{what:format!("prepare {}",s.display()),source:std::io::Error::last_os_error()};
 unsafe{let fd=libc::syscall(428,-100,c.as_ptr(),1|0x80000|if rec{0x8000}else{0});if fd<0{return Err(e())}let fd=OwnedFd::from_raw_fd(fd as i32);
 let attr:[u64;4]=[a.0|if idmap.is_some(){0x100000}else{0},0,0,idmap.map_or(0,|f|f.as_raw_fd() as u64)];
 if attr[0]!=0 && libc::syscall(442,fd.as_raw_fd(),c"".as_ptr(),0x1000|if rec{0x8000}else{0},&attr,32usize)<0{return Err(e())}Ok(fd)}}
